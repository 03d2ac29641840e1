"""What another bound would gain: predicted from the log of a run, held against such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.config import Mode, from_mapping
from mpitrain.replaying.simulation import simulate_run
from mpitrain.schedules.what_if import FAR, outcomes_of, trace_of
from mpitrain.schedules.what_if import MODES as ALL_MODES
from mpitrain.storage.reading import open_log
from tests.unit.analysis.conftest import simulate

LATE = {
    "exponential": {"kind": "exponential", "delay": 0.02},
    "periodic": {"kind": "periodic", "ranks": [1], "delay": 0.05, "period_steps": 40},
    "constant": {"kind": "constant", "ranks": [3], "delay": 0.02},
}
MODES = {"ssp0": ("ssp", 0), "ssp3": ("ssp", 3), "ssp16": ("ssp", 16), "asp": ("asp", None)}


def run(root: Path, mode: str, bound: int | None, late: dict[str, Any], seed: int) -> float:
    """Simulate a run and return its steps per second."""
    settings = {
        "run": {"steps": 1200, "directory": str(root), "progress_every_s": 1e6, "seed": seed},
        "data": {"source": "synthetic", "num_samples": 60, "num_test": 9, "num_features": 3},
        "model": {"kind": "softmax"},
        "mode": {"kind": mode, "shards": 4} | ({} if bound is None else {"bound": bound}),
        "straggler": late,
        "simulate": {"ranks": 4, "compute_s": 0.01, "latency_s": 1e-4, "overhead_s": 1e-3},
    }
    result = simulate_run(from_mapping(settings))
    return float(result.steps / result.seconds)


@pytest.mark.parametrize("kind", LATE)
def test_a_gain_is_within_15_percent_of_a_run_with_that_bound(tmp_path: Path, kind: str) -> None:
    """From every bound to every other one, with lateness drawn anew."""
    speeds = {
        n: run(tmp_path / n, *m, LATE[kind], seed) for seed, (n, m) in enumerate(MODES.items())
    }
    modes = [Mode(kind=mode, bound=bound) for mode, bound in MODES.values()]
    for name, speed in speeds.items():
        trace = trace_of(open_log(tmp_path / name).lives[-1])
        assert not isinstance(trace, str)
        found = outcomes_of(trace, modes)
        assert [one.gain for one in found if one.is_own] == [1.0]
        for other, one in zip(MODES, found, strict=True):
            assert one.gain == pytest.approx(speeds[other] / speed, rel=0.15), (name, other)
            assert not one.is_rough


def test_a_synchronous_run_says_little_of_a_window(tmp_path: Path) -> None:
    """Its costs are guessed, and what is predicted is marked."""
    run(tmp_path / "a", "bsp", None, LATE["constant"], 0)
    trace = trace_of(open_log(tmp_path / "a").lives[-1])
    assert not isinstance(trace, str)
    found = {(one.mode, one.bound): one for one in outcomes_of(trace)}
    assert found["bsp", None].is_own
    assert [one.is_rough for one in found.values()] == [False] + [True] * (len(found) - 1)
    assert found["asp", None].gain > 2


def test_what_cannot_be_predicted_is_said(tmp_path: Path) -> None:
    """A log is missing."""
    run(tmp_path / "a", "ssp", 3, LATE["constant"], 0)
    path = tmp_path / "a" / "log" / "life-000" / "rank-00002.h5"
    path.unlink()
    assert str(path) in str(trace_of(open_log(tmp_path / "a").lives[-1]))


@pytest.mark.parametrize(
    ("cores", "reason"),
    [
        (["0-1"] * 4, "4 ranks of h share 2 cores"),
        (["0", "1", "0", "1"], "4 ranks of h share 2 cores"),
        (["0", "1", "2", "3"], None),
        (["0-7"] * 4, None),
        (["0-1", "0-1", "0-1", None], None),
    ],
)
def test_ranks_that_share_cores_make_a_prediction_rough(
    tmp_path: Path, cores: list[str | None], reason: str | None
) -> None:
    """Steps that compute alone are faster than those that will compute together."""
    made = simulate(4, 2, "ssp", bound=2, steps=120)
    said = [{"host": "h"} if text is None else {"host": "h", "cores": text} for text in cores]
    made.attributes = dict(enumerate(said))
    trace = trace_of(open_log(made.write(tmp_path)).lives[-1])
    assert not isinstance(trace, str)
    for one in outcomes_of(trace, ALL_MODES[1:]):
        told = None if one.rough_because is None else one.rough_because.partition(":")[0]
        assert told == reason


@pytest.mark.parametrize("mode", ["ssp", "asp"])
@pytest.mark.parametrize("phase", ["wait_s", "read_s", "compute_s", "write_s", "between"])
def test_a_run_simulated_again_takes_as_long_as_it_did(
    tmp_path: Path, mode: str, phase: str
) -> None:
    """Also where one phase is short but for some steps, a hundred times as long."""
    made = simulate(2, 2, mode, bound=1000 if mode == "ssp" else None, steps=400, share="equal")
    random, stops = np.random.default_rng(3), []
    for own in made.rows:
        now_s = 0.0
        for row in own:
            names = ("wait_s", "read_s", "compute_s", "write_s", "between")
            spent = {name: random.uniform(1e-4, 2e-4) for name in names}
            spent[phase] *= 100 if random.random() < 0.05 else 1
            row["began_s"] = now_s
            row.update((name, spent[name]) for name in names[:-1])
            now_s += sum(spent.values())
        stops.append(now_s)
    trace = trace_of(open_log(made.write(tmp_path)).lives[-1])
    assert not isinstance(trace, str)
    (own_one,) = (one for one in outcomes_of(trace, ALL_MODES[1:]) if one.is_own)
    assert own_one.simulated_steps_per_s == pytest.approx(400 / max(stops), rel=0.05)


def test_a_synchronous_run_simulated_again_takes_as_long_as_it_did(tmp_path: Path) -> None:
    """Also where few of its reductions are a hundred times as long as the others."""
    made = simulate(2, 2, "bsp", steps=400, share="equal")
    random, now_s = np.random.default_rng(3), 0.0
    for rows in zip(*made.rows, strict=True):
        compute_s = random.uniform(1e-4, 4e-4, 2)
        together_s = random.uniform(1e-4, 2e-4) * (100 if random.random() < 0.05 else 1)
        for row, own_s in zip(rows, compute_s, strict=True):
            row["began_s"], row["compute_s"] = now_s, own_s
            row["wait_s"] = compute_s.max() - own_s + together_s
        now_s += compute_s.max() + together_s
    trace = trace_of(open_log(made.write(tmp_path)).lives[-1])
    assert not isinstance(trace, str)
    (own,) = outcomes_of(trace, ALL_MODES[:1])
    assert own.simulated_steps_per_s == pytest.approx(400 / now_s, rel=0.05)


def test_what_is_far_from_the_run_is_rough(tmp_path: Path) -> None:
    """A rank that mostly waits has the steps of one that does: one late rank of two, no bound."""
    late = {"kind": "constant", "ranks": [1], "delay": 0.2}
    run(tmp_path / "a", "ssp", 3, late, 0)
    trace = trace_of(open_log(tmp_path / "a").lives[-1])
    assert not isinstance(trace, str)
    found = {(one.mode, one.bound): one for one in outcomes_of(trace)}
    assert found["asp", None].gain > FAR
    assert str(found["asp", None].rough_because).startswith("far from this run")
    assert not found["ssp", 5].is_rough
