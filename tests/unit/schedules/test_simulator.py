"""Simulated clusters: by hand where that is possible, else the invariants of every run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mpitrain.config import Straggler
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare, SharedWork, Work
from mpitrain.core.shards import Shards
from mpitrain.schedules import durations
from mpitrain.schedules.durations import Draw, durations_of
from mpitrain.schedules.measures import seconds_of, staleness_of, summary_of
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.simulator import (
    Costs,
    Dealing,
    simulate_collective,
    simulate_windowed,
)
from mpitrain.schedules.stored import fault_of

NOTHING = Costs()


def windowed(
    size: int,
    num_shards: int,
    rule: Rule,
    work: Work,
    draw: Draw,
    *,
    scales: list[float] | None = None,
    costs: Costs = NOTHING,
    straggler: Straggler | None = None,
    seed: int = 0,
) -> Schedule:
    """Simulate ``size`` ranks that compute for 1 s on average."""
    compute = durations_of([draw] * size, scales or [1.0] * size, seed, straggler)
    dealing = Dealing(work.is_left, work.take)
    return simulate_windowed(Shards(100, num_shards, size), rule, dealing, compute, costs)


def test_two_ranks_by_hand() -> None:
    """Rank 1 takes 3 s for a step, rank 0 one; bound 1 makes rank 0 wait at clock 2."""
    schedule = windowed(2, 1, Bounded(1), EqualShare(8, 2), durations.constant(), scales=[1.0, 3.0])
    assert schedule.rank.tolist() == [0] * 4 + [1] * 4
    assert schedule.clock.tolist() == [0, 1, 2, 3] * 2
    assert schedule.ticket.tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    # rank 0 ends steps at 1, 2, 4, 7 s; rank 1 at 3, 6, 9, 12 s
    assert schedule.written[:, 0].tolist() == [1, 2, 4, 6, 3, 5, 7, 8]
    assert schedule.read[:, 0].tolist() == [0, 1, 3, 5, 0, 3, 5, 7]
    assert schedule.times["wait_s"].tolist() == [0, 0, 1, 2, 0, 0, 0, 0]
    assert schedule.lead.tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert staleness_of(schedule)[0][:, 0].tolist() == [0, 0, 0, 0, 2, 1, 1, 0]
    facts = summary_of(schedule)
    assert (facts["seconds"], facts["staleness_max"], facts["lead_max"]) == (12, 2, 1)
    assert facts["wait_share"] == pytest.approx(3 / 19)


def test_fast_rank_takes_more_of_the_shared_tickets() -> None:
    """And who finds none left waits for nobody, and nobody for it."""
    schedule = windowed(2, 1, Unbounded(), SharedWork(8), durations.constant(), scales=[1.0, 3.5])
    assert np.bincount(schedule.rank).tolist() == [6, 2]
    assert sorted(schedule.ticket.tolist()) == list(range(8))
    assert seconds_of(schedule) == 7.0


def test_rank_looks_at_the_clocks_when_it_starts_not_when_it_ended() -> None:
    """Time passes between its steps, and others move on meanwhile."""
    costs = Costs(overhead_s=1.0)
    kind: dict[str, Any] = {"scales": [1.0, 1.5], "costs": costs}
    schedule = windowed(2, 1, Unbounded(), EqualShare(4, 2), durations.constant(), **kind)
    assert schedule.times["began_s"].tolist() == [0, 2, 0, 2.5]
    assert schedule.lead.tolist() == [0, 0, 0, 0]


def test_an_owner_serves_one_write_at_a_time() -> None:
    """Four ranks come at once; each write takes 0.5 s, of which 0.25 s at the owner."""
    costs = Costs(write_s=0.5, service_s=0.25)
    schedule = windowed(4, 1, Unbounded(), EqualShare(4, 4), durations.constant(), costs=costs)
    assert sorted(schedule.times["write_s"].tolist()) == [0.5, 0.75, 1.0, 1.25]


def test_reads_and_writes_of_shards_come_one_after_the_other() -> None:
    """From each rank's own starting point: what rank 0 writes last, rank 1 has written first."""
    costs = Costs(read_s=0.125, write_s=0.25)
    schedule = windowed(2, 2, Unbounded(), EqualShare(2, 2), durations.constant(), costs=costs)
    assert schedule.times["read_s"].tolist() == [0.25, 0.25]
    assert schedule.times["write_s"].tolist() == [0.5, 0.5]
    assert schedule.written.tolist() == [[1, 2], [2, 1]]
    assert schedule.read.tolist() == [[0, 0], [0, 0]]


def test_synchronous_ranks_wait_for_the_slowest() -> None:
    """And for the reduction."""
    compute = durations_of([durations.constant()] * 3, [1.0, 2.0, 4.0], 0)
    work = EqualShare(6, 3)
    costs = Costs(collective_s=0.5, overhead_s=0.25)
    schedule = simulate_collective(3, 2, 2, compute, work.ticket, costs)
    assert schedule.times["wait_s"].tolist() == [3.5, 3.5, 2.5, 2.5, 0.5, 0.5]
    assert schedule.times["began_s"].tolist() == [0, 4.75] * 3
    assert schedule.ticket.tolist() == [0, 3, 1, 4, 2, 5]
    assert (fault_of(schedule), seconds_of(schedule)) == ("", 9.25)
    assert summary_of(schedule)["staleness_max"] == 0


CASES = list(
    itertools.product(
        (1, 2, 3, 4, 7),
        (1, 3),
        (Bounded(0), Bounded(1), Bounded(3), Unbounded()),
        ("shared", "equal"),
        (0.0, 0.01),
    )
)


@pytest.mark.parametrize(("size", "num_shards", "rule", "share", "service_s"), CASES)
@pytest.mark.parametrize("late", ["none", "exponential", "pareto", "periodic"])
def test_invariants_hold_on_every_schedule(
    size: int, num_shards: int, rule: Rule, share: str, service_s: float, late: str
) -> None:
    """Of DESIGN: no update lost, the bound and what it guarantees, staleness, no going back."""
    steps = 30 * size
    work: Work = EqualShare(steps, size) if share == "equal" else SharedWork(steps)
    straggler = Straggler(kind=late, delay=0.5, period_steps=7, slow_steps=2)
    costs = Costs(read_s=0.01, write_s=0.01 + service_s, service_s=service_s, overhead_s=0.02)
    draw = durations.lognormal(0.5)
    kind: dict[str, Any] = {"straggler": straggler, "costs": costs}
    schedule = windowed(size, num_shards, rule, work, draw, **kind)
    assert fault_of(schedule) == ""
    assert sorted(schedule.ticket.tolist()) == list(range(steps))
    again = windowed(size, num_shards, rule, work, draw, **kind)
    assert np.array_equal(schedule.written, again.written)
    assert np.array_equal(schedule.read, again.read)
    if isinstance(rule, Bounded):
        bound = rule.bound
        assert 0 <= schedule.lead.min() <= schedule.lead.max() <= bound
        assert staleness_of(schedule)[0].max() <= (2 * bound + 1) * (size - 1)
        for rank in range(size):
            mine = schedule.rank == rank
            for clock, read in zip(schedule.clock[mine], schedule.read[mine], strict=True):
                known = schedule.clock <= clock - bound - 1
                assert (schedule.written[known] <= read).all()
    times = schedule.times
    assert all((column >= 0).all() for column in times.values())
    if size == 1:
        assert not staleness_of(schedule)[0].any()


def test_distributions_have_their_means() -> None:
    """Mean 1, and what is measured is resampled; every rank has a stream of its own."""
    random = np.random.default_rng(0)
    for draw in (
        durations.exponential(),
        durations.lognormal(0.5),
        durations.pareto(3.5),
        durations.constant(),
        durations.measured(np.array([0.5, 1.5])),
    ):
        assert draw(random, 200_000).mean() == pytest.approx(1.0, rel=0.02)
    one, two = durations_of([durations.exponential()] * 2, [2.0, 2.0], 7)
    drawn = [one(clock) for clock in range(300)]
    assert drawn != [two(clock) for clock in range(300)]
    again = durations_of([durations.exponential()] * 2, [2.0, 2.0], 7)[0]
    assert drawn == [again(clock) for clock in range(300)]


def test_lateness_in_steps_goes_by_the_mean_so_far() -> None:
    """As the injector of live ranks does."""
    straggler = Straggler(kind="constant", delay=2.0, unit="step", ranks=(1,))
    one, two = durations_of([durations.constant()] * 2, [0.5, 0.5], 0, straggler)
    assert [one(clock) for clock in range(3)] == [0.5] * 3
    assert [two(clock) for clock in range(3)] == [1.5] * 3
