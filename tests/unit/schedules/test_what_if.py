"""What another bound would gain: predicted from the log of a run, held against such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpitrain.config import Mode, from_mapping
from mpitrain.replaying.simulation import simulate_run
from mpitrain.schedules.what_if import MODES as ALL_MODES
from mpitrain.schedules.what_if import outcomes_of, trace_of
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
        is_own = (one.mode, one.bound) == ("ssp", 2)
        assert told == (None if is_own else reason)
