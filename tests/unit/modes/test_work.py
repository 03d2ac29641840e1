from __future__ import annotations

import itertools

import pytest

from mpitrain.modes.work import EqualShare, SharedWork


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
