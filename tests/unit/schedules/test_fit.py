"""What a log says a step costs: simulated runs have logs like real ones, with known costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.replaying.simulation import simulate_run
from mpitrain.schedules.fit import Fit, fit_of
from mpitrain.storage.reading import open_log

SIMULATE = {
    "ranks": 4,
    "compute": "constant",
    "compute_s": 0.01,
    "speeds": [1.0, 1.0, 1.0, 0.5],
    "latency_s": 0.001,
    "bandwidth": 1e12,
    "overhead_s": 0.003,
}


def fitted(root: Path, mode: dict[str, Any], steps: int = 200) -> Fit:
    """Simulate a run on 4 ranks, the last one slow, and measure its log."""
    settings = {
        "run": {"steps": steps, "directory": str(root), "progress_every_s": 1e6},
        "data": {"source": "synthetic", "num_samples": 60, "num_test": 9, "num_features": 3},
        "model": {"kind": "softmax"},
        "mode": {"shards": 4, **mode},
        "simulate": SIMULATE,
    }
    simulate_run(from_mapping(settings))
    return fit_of(open_log(root))


def test_costs_of_a_window_come_back(tmp_path: Path) -> None:
    """Computing time of each rank, a read, a write, the time between steps."""
    fit = fitted(tmp_path / "a", {"kind": "asp"})
    assert (fit.size, fit.num_shards, fit.mode, fit.bound) == (4, 4, "asp", None)
    means = [samples.mean() for samples in fit.compute_s]
    assert means == pytest.approx([0.01, 0.01, 0.01, 0.02], rel=1e-4)
    costs = fit.costs
    assert costs.read_s == pytest.approx(0.001, rel=1e-3)
    assert costs.write_s == pytest.approx(0.001, rel=1e-3)
    assert costs.overhead_s == pytest.approx(0.003, rel=1e-3)
    # two ways through a tree of two levels
    assert costs.collective_s == pytest.approx(0.004, rel=1e-3)


def test_costs_of_a_reduction_come_back(tmp_path: Path) -> None:
    """And a move of all parameters is one of the four that a reduction on four ranks takes."""
    fit = fitted(tmp_path / "a", {"kind": "bsp"})
    assert (fit.mode, fit.bound) == ("bsp", None)
    costs = fit.costs
    assert costs.collective_s == pytest.approx(0.004, rel=1e-3)
    assert costs.overhead_s == pytest.approx(0.003, rel=1e-3)
    assert (4 * costs.read_s, 4 * costs.write_s) == pytest.approx((0.001, 0.001), rel=1e-3)


def test_bound_of_the_run_is_told(tmp_path: Path) -> None:
    """Zero is a bound, not none."""
    assert fitted(tmp_path / "a", {"kind": "ssp", "bound": 0}).bound == 0


def test_too_few_steps_are_refused(tmp_path: Path) -> None:
    """With the log that has them, and how many are needed."""
    with pytest.raises(UserError, match=r"rank-0000\d\.h5: \d steps are too few .* at least 20"):
        fitted(tmp_path / "a", {"kind": "asp"}, steps=20)


def test_missing_log_is_refused(tmp_path: Path) -> None:
    """Rather than taking the others for all."""
    fitted(tmp_path / "a", {"kind": "asp"})
    (tmp_path / "a" / "log" / "life-000" / "rank-00002.h5").unlink()
    with pytest.raises(UserError, match=r"rank-00002\.h5"):
        fit_of(open_log(tmp_path / "a"))
