"""Who was slow and who waited for whom: on simulated runs whose lateness is known, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.analysis.delays import Delays, delays_of
from mpitrain.analysis.lateness import Windows, stragglers_of
from mpitrain.analysis.phases import OWN, Phases
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.waiting import NOBODY, LastAt, seen_at, waited_for
from mpitrain.config import from_mapping
from mpitrain.core.errors import LogError
from mpitrain.replaying.simulation import simulate_run
from mpitrain.storage.run_directory import RunDirectory

SCENARIOS = [
    ("bsp", "constant", 2), ("bsp", "exponential", 0), ("bsp", "pareto", 1), ("bsp", "periodic", 3),
    ("ssp", "constant", 1), ("ssp", "exponential", 3), ("ssp", "pareto", 0), ("ssp", "periodic", 2),
    ("asp", "constant", 3), ("asp", "pareto", 2), ("asp", "periodic", 0),
]  # fmt: skip


def simulated(root: Path, mode: str, straggler: dict[str, Any], seed: int = 0) -> Delays:
    """Simulate a run of four ranks whose steps vary by a fifth, and look at its log."""
    settings = {
        "run": {"steps": 1600, "directory": str(root), "progress_every_s": 1e6, "seed": seed},
        "data": {"source": "synthetic", "num_samples": 60, "num_test": 9, "num_features": 3},
        "model": {"kind": "softmax"},
        "mode": {"kind": mode, "shards": 4} | ({"bound": 3} if mode == "ssp" else {}),
        "straggler": straggler,
        "simulate": {"ranks": 4, "compute_s": 0.01, "overhead_s": 0.001},
    }
    simulate_run(from_mapping(settings))
    return delays_of(open_readable(root))


@pytest.mark.parametrize(("mode", "kind", "rank"), SCENARIOS)
def test_the_late_rank_and_its_phase_are_named(
    tmp_path: Path, mode: str, kind: str, rank: int
) -> None:
    """And no other; where there is a bound, it is the one that the others waited for."""
    delay = 0.04 if kind == "periodic" else 0.01
    late = {"kind": kind, "ranks": [rank], "delay": delay}
    found = simulated(tmp_path / "a", mode, late)
    assert [(one.rank, one.phase) for one in found.stragglers] == [(rank, "compute")]
    assert found.stragglers[0].phase_share > 0.9
    waited_for_s = found.waited_s[:, :-1].sum(axis=0)
    if mode == "asp":
        assert waited_for_s.sum() == 0
    else:
        assert waited_for_s.argmax() == rank
        assert waited_for_s[rank] > 0.5 * waited_for_s.sum()


@pytest.mark.parametrize("mode", ["bsp", "ssp", "asp"])
@pytest.mark.parametrize("kind", ["none", "exponential"])
def test_even_ranks_are_no_stragglers(tmp_path: Path, mode: str, kind: str) -> None:
    """Even where all are late alike, at random."""
    late = {"kind": kind} | ({"delay": 0.02} if kind != "none" else {})
    for seed in range(3):
        assert simulated(tmp_path / str(seed), mode, late, seed).stragglers == []


def test_all_waiting_is_counted_once(tmp_path: Path) -> None:
    """What was waited for each rank and for nobody is what the logs say was waited."""
    found = simulated(tmp_path / "a", "ssp", {"kind": "exponential", "delay": 0.02})
    assert found.waited_s.sum(axis=1) == pytest.approx(found.wait_s)
    assert found.waited_s[:, -1].sum() < 0.02 * found.wait_s.sum()
    assert not np.diagonal(found.waited_s).any()


def phases(
    began_s: list[float], wait_s: list[float], own_s: list[float], phase: str = "compute"
) -> Phases:
    """Return the steps of a rank that do only one thing beside waiting."""
    began, wait, own = (np.array(numbers, float) for numbers in (began_s, wait_s, own_s))
    table = np.zeros((len(OWN), len(own)))
    table[OWN.index(phase)] = own
    clock = np.arange(len(own))
    return Phases(clock=clock, began_s=began, wait_s=wait, own_s=table,
                  ended_s=began + wait + own, num_left_out=0)  # fmt: skip


def last_of(mode: str, *ranks: Phases) -> LastAt:
    """Return who was last at every clock."""
    last = LastAt()
    for rank, one in enumerate(ranks):
        last.see(rank, one, seen_at(one, mode))
    return last


def test_a_bounded_wait_ends_with_the_slowest_ranks_step() -> None:
    """Bound 0: rank 0 waits for rank 2's first step, then for rank 1's second, then for nobody."""
    zero = phases([0, 1, 5, 9], [0, 3, 3, 0.125], [1, 1, 1, 1])
    one = phases([0, 2, 8], [0, 2, 0], [2, 4, 1])
    two = phases([0, 4, 8], [0, 0, 0], [4, 1, 1])
    last = last_of("ssp", zero, one, two)
    whom, lost_s = waited_for(0, zero, last, "ssp", 0)
    assert whom.tolist() == [NOBODY, 2, 1, NOBODY]
    assert lost_s.tolist() == [0, 3, 3, 0]
    whom, _ = waited_for(0, zero, last, "ssp", 1)
    assert whom.tolist() == [NOBODY, NOBODY, NOBODY, NOBODY]
    whom, lost_s = waited_for(0, zero, last, "asp", None)
    assert (set(whom.tolist()), lost_s.sum()) == ({NOBODY}, 0)


def test_a_reduction_waits_for_the_last_to_come() -> None:
    """What the last one itself waits is what the messages take; the others lost the rest."""
    zero = phases([0, 6], [5, 1], [1, 3])
    one = phases([0, 6], [1, 2], [5, 2])
    last = last_of("bsp", zero, one)
    assert [part.tolist() for part in waited_for(0, zero, last, "bsp", None)] == [[1, -1], [4, 0]]
    assert [part.tolist() for part in waited_for(1, one, last, "bsp", None)] == [[-1, 0], [0, 1]]


def test_clocks_of_no_life_are_refused() -> None:
    """A row that was damaged takes no memory."""
    damaged = phases([0, 1], [0, 0], [1, 1])
    damaged.clock[1] = 1 << 60
    with pytest.raises(LogError, match="not of one life"):
        last_of("ssp", damaged)


def windows_of(*ranks: Phases) -> Windows:
    """Return sums over time of some ranks."""
    windows = Windows(len(ranks), max(float(one.ended_s.max()) for one in ranks), 100)
    for rank, one in enumerate(ranks):
        windows.add(rank, one, 0.0)
    return windows


def even(phase: str = "compute", late: float = 1.0, since: int = 0) -> Phases:
    """Return 100 steps of a second each, later ones ``late`` times as long."""
    own = [1.0 if row < since else late for row in range(100)]
    return phases(np.cumsum([0, *own[:-1]]).tolist(), [0.0] * 100, own, phase)


@pytest.mark.parametrize("phase", OWN)
def test_the_phase_is_named(phase: str) -> None:
    """Whatever it is in which a rank loses time."""
    slow = even()
    slow.own_s[OWN.index(phase)] += 1.0
    (found,) = stragglers_of(windows_of(even(), slow, even()))
    assert (found.rank, found.phase, found.phase_share) == (1, phase, 1.0)
    assert found.times == pytest.approx(2.0)
    assert found.late_s == pytest.approx(1.0)


def test_the_time_is_named() -> None:
    """A rank that became slow at 50 s of 300 s was slow from then on."""
    (found,) = stragglers_of(windows_of(even(), even(late=5.0, since=50), even()))
    # there are five windows of 60 s, and only two slow steps began in the first
    assert found.spans == [(pytest.approx(60.0), pytest.approx(300.0))]


def test_a_rank_that_stands_out_is_named_by_less() -> None:
    """A quarter more is much where the others are equal, and nothing where they differ by that."""
    assert [one.rank for one in stragglers_of(windows_of(*[even()] * 3, even(late=1.25)))] == [3]
    mixed = [even(), even(late=1.2), even(), even(late=1.25)]
    assert stragglers_of(windows_of(*mixed)) == []
    assert stragglers_of(windows_of(*[even()] * 3, even(late=1.1))) == []


def test_one_long_step_makes_no_straggler() -> None:
    """It is among the longest steps, which are told by themselves."""
    stopped = phases([0, *range(1000, 1099)], [0.0] * 100, [1000.0] + [1.0] * 99)
    assert stragglers_of(windows_of(even(), stopped, even())) == []


def test_who_did_few_steps_because_they_took_long_is_named() -> None:
    """Where batches are shared a slow rank has few rows."""
    slow = phases([0, 50], [0, 0], [50, 50])
    (found,) = stragglers_of(windows_of(even(), slow, even()))
    assert found.rank == 1


def test_a_run_of_several_lives_is_one_run(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Rows up to the cut count, and times go on."""
    first = make_run(3, 2, "ssp", bound=2, steps=24)
    cut = first.state.point()
    first.go_on(9)
    second = first.next(cut)
    second.go_on(15)
    first.write(tmp_path)
    second.write(tmp_path)
    found = delays_of(open_readable(tmp_path))
    assert (found.num_lives, int(found.num_rows.sum())) == (2, 39)
    assert found.windows.num_rows.sum() == 39
    assert found.longest[0].at_s <= found.seconds


def test_ranks_of_a_killed_run_did_not_idle(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Their last rows may be missing, so nobody knows when they did their last step."""
    run = make_run(3, 2, "asp", steps=30)
    closed = delays_of(open_readable(run.write(tmp_path / "closed")))
    killed = delays_of(open_readable(run.write(tmp_path / "killed", is_closed=lambda _: False)))
    assert closed.idle_s.sum() > 0
    assert killed.idle_s.sum() == 0


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """The waiting for a rank without a log is for nobody known; without any step nothing is."""
    root = tmp_path / "a"
    late = {"kind": "constant", "ranks": [1], "delay": 0.02}
    whole = simulated(root, "ssp", late)
    path = RunDirectory(root).log_path(0, 1)
    path.unlink()
    found = delays_of(open_readable(root))
    assert (found.stragglers, found.num_missing) == ([], 1)
    assert found.waited_s[:, -1].sum() > 0.9 * whole.waited_s[:, 1].sum()
    assert str(path) in found.notes[0]
    for rank in (0, 2, 3):
        RunDirectory(root).log_path(0, rank).unlink()
    with pytest.raises(LogError):
        delays_of(open_readable(root))
