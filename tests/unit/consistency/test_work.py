from __future__ import annotations

import itertools

import numpy as np
import pytest

from mpitrain.consistency.work import EqualShare, SharedWork
from mpitrain.core.tickets import Deal


def no_draw() -> int:
    """Fail: equal shares draw nothing."""
    pytest.fail("drew a ticket")


@pytest.mark.parametrize(("tickets", "size"), [(12, 3), (13, 3), (1, 7), (100, 1)])
def test_equal_shares_complete_the_last_round(tickets: int, size: int) -> None:
    """Every ticket up to the rounded total is taken exactly once."""
    work = EqualShare(tickets, size)
    taken = []
    for rank in range(size):
        clock = 0
        while work.is_left(clock, 0):
            taken.append(work.take(clock, rank, no_draw))
            clock += 1
    assert sorted(t for t in taken if t is not None) == list(range(work.total_steps))
    assert 0 <= work.total_steps - tickets < size


def test_shared_work_ends_with_the_tickets() -> None:
    """A draw beyond the last ticket is no work."""
    work = SharedWork(3)
    counter = itertools.count()
    taken = [work.take(0, 0, lambda: next(counter)) for _ in range(5)]
    assert taken == [0, 1, 2, None, None]
    assert work.is_left(99, 2)
    assert not work.is_left(0, 3)
    assert work.total_steps == 3


def test_work_goes_on_where_other_ranks_left_it() -> None:
    """Of 13 tickets 5 are taken: 3 ranks take the 8 that are left, and complete the round."""
    deal = Deal(6, np.array([3]))
    work = EqualShare(13, 3, before=5, deal=deal)
    taken = [work.ticket(clock, rank) for clock in range(work.num_rounds) for rank in range(3)]
    assert taken == [3, 6, 7, 8, 9, 10, 11, 12, 13]
    assert work.total_steps == 14
    shared = SharedWork(13, before=5, deal=deal)
    counter = itertools.count()
    assert [shared.take(0, 0, lambda: next(counter)) for _ in range(9)] == [*taken[:8], None]
    assert shared.num_taken(9) == 8
    assert not shared.is_left(0, 8)


def test_ticket_beyond_the_run_takes_no_other_ones_place() -> None:
    """Of 70 tickets 4 ranks had taken all but 69, and one of the last round, 70: one is left."""
    deal = Deal(71, np.array([69]))
    for size in (1, 3):
        work = EqualShare(70, size, before=70, deal=deal)
        assert work.num_rounds == 1
        assert work.ticket(0, 0) == 69
        assert work.total_steps == 70 + size
    shared = SharedWork(70, before=70, deal=deal)
    counter = itertools.count()
    assert [shared.take(0, 0, lambda: next(counter)) for _ in range(2)] == [69, None]
    assert (shared.total_steps, shared.num_taken(5)) == (71, 1)


@pytest.mark.parametrize("ticket", [0, 3, 4, 5, 8, 9, 10, 12])
def test_tickets_of_a_deal_below_one_are_counted(ticket: int) -> None:
    """Holes and what comes after them."""
    deal = Deal(9, np.array([3, 4, 8]))
    tickets = [deal.ticket(index) for index in range(10)]
    assert deal.num_below(ticket) == sum(other < ticket for other in tickets)
