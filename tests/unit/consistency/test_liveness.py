"""Who stands still although it could go on: invariants under random schedules."""

from __future__ import annotations

import random
import time

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.consistency.liveness import LEAST_LOOKS, Liveness
from mpitrain.consistency.rules import Bounded, Rule, Unbounded

LIMIT_S = 8.0


def may_start_under(
    bound: int | None, clocks: npt.NDArray[np.int64], ended: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which ranks the rule lets start, (P,)."""
    rule: Rule = Unbounded() if bound is None else Bounded(bound)
    slowest = int(np.where(ended, np.iinfo(np.int64).max, clocks).min())
    return np.array([rule.may_start(clock, slowest) for clock in clocks.tolist()])


def looked(
    liveness: Liveness, now_s: float, clocks: list[int], finished: list[bool], bound: int | None
) -> list[int]:
    """Look at clocks given as lists."""
    counts: npt.NDArray[np.int64] = np.array(clocks, np.int64)
    ended = np.array(finished)
    return liveness.look(counts, ended, now_s, may_start_under(bound, counts, ended))


def test_rank_that_stops_is_found_after_the_limit_and_not_before() -> None:
    """Rank 1 stops at 20 s, the others go on."""
    liveness = Liveness(3, LIMIT_S)
    for second in range(60):
        found = looked(liveness, second, [second, min(second, 20), second], [False] * 3, None)
        assert found == ([1] if second >= 20 + LIMIT_S else [])


def test_waiting_for_the_bound_is_no_blame() -> None:
    """Rank 1 stops; 0 and 2 wait at its clock + bound, and only it is found."""
    liveness = Liveness(3, LIMIT_S)
    for second in range(200):
        clock = min(second, 24)
        found = looked(liveness, second, [clock, min(second, 20), clock], [False] * 3, 3)
        assert found in ([], [1])
    assert found == [1]


def test_time_begins_anew_when_the_slowest_goes_on() -> None:
    """Rank 0 waited for an hour; it is late only a limit after it was let go."""
    liveness = Liveness(2, LIMIT_S)
    for second in range(3600):
        assert 0 not in looked(liveness, second, [5, 0], [False, False], 3)
    for second in range(3600, 3620):
        found = looked(liveness, second, [5, 2], [False, False], 3)
        assert (0 in found) == (second >= 3600 + LIMIT_S)


def test_finished_ranks_are_left_alone() -> None:
    """Also when all are; and they hold nobody back."""
    liveness = Liveness(3, LIMIT_S)
    for second in range(100):
        assert looked(liveness, second, [9, 4, 9], [True, False, True], 0) == (
            [1] if second >= LIMIT_S else []
        )
    liveness = Liveness(2, LIMIT_S)
    for second in range(100):
        assert looked(liveness, second, [9, 4], [True, True], 0) == []


def test_suspended_job_finds_nobody_late_when_it_goes_on() -> None:
    """An hour in which nobody looked counts a quarter of the limit."""
    liveness = Liveness(2, LIMIT_S)
    assert looked(liveness, 0.0, [1, 1], [False, False], None) == []
    assert looked(liveness, 3600.0, [1, 1], [False, False], None) == []
    assert looked(liveness, 3601.0, [2, 1], [False, False], None) == []


@pytest.mark.parametrize("bound", [None, 0, 1, 5])
@pytest.mark.parametrize("seed", range(50))
def test_only_who_could_go_on_and_did_not_is_found(seed: int, bound: int | None) -> None:
    """Random ranks step, sleep, die and finish; a slow but exact account of each agrees."""
    chance = random.Random(seed)
    size = chance.randrange(2, 7)
    liveness = Liveness(size, LIMIT_S)
    clocks, finished = [0] * size, [False] * size
    dead = [chance.random() < 0.3 for _ in range(size)]
    free_since = [0.0] * size
    now_s, before_free, before_clocks = 0.0, [False] * size, [-1] * size
    for _ in range(300):
        now_s += chance.uniform(0.01, LIMIT_S / LEAST_LOOKS)
        for rank in range(size):
            live = [c for c, done in zip(clocks, finished, strict=True) if not done]
            may = bound is None or not live or clocks[rank] - min(live) <= bound
            is_moving = may and not finished[rank] and not (dead[rank] and now_s > 30)
            clocks[rank] += is_moving and chance.random() < 0.5
            finished[rank] |= is_moving and chance.random() < 0.01
        live = [c for c, done in zip(clocks, finished, strict=True) if not done]
        for rank in range(size):
            free = not finished[rank] and (bound is None or clocks[rank] - min(live) <= bound)
            if not (free and before_free[rank] and clocks[rank] == before_clocks[rank]):
                free_since[rank] = now_s
            before_free[rank], before_clocks[rank] = free, clocks[rank]
        found = looked(liveness, now_s, clocks, finished, bound)
        for rank in range(size):
            stood_s = now_s - free_since[rank]
            if abs(stood_s - LIMIT_S) > 1e-6:
                assert (rank in found) == (stood_s > LIMIT_S and before_free[rank])


def test_look_is_cheap() -> None:
    """A thousand ranks in well under a millisecond."""
    liveness = Liveness(1000, LIMIT_S)
    clocks, ended = np.arange(1000), np.zeros(1000, np.bool_)
    best = 1.0
    for second in range(50):
        began = time.perf_counter()
        liveness.look(clocks, ended, second, may_start_under(3, clocks, ended))
        best = min(best, time.perf_counter() - began)
    assert best < 1e-3
