from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpitrain.analysis.verify import verify
from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.replay.simulation import simulate_run
from mpitrain.result import Result
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.reading import open_log


def simulated(root: Path, **tables: dict[str, Any]) -> Result:
    """Train softmax on synthetic data, on 4 simulated ranks; ``tables`` override."""
    settings: dict[str, dict[str, Any]] = {
        "run": {"steps": 60, "directory": str(root), "progress_every_s": 1e6},
        "data": {
            "source": "synthetic",
            "num_samples": 301,
            "num_test": 50,
            "num_features": 7,
            "num_classes": 3,
            "batch_size": 4,
        },
        "model": {"kind": "softmax"},
        "optimizer": {"rate": 0.05},
        "simulate": {"kind": "delays", "ranks": 4},
    }
    for name, table in tables.items():
        settings[name] = {**settings.get(name, {}), **table}
    return simulate_run(from_mapping(settings))


def test_simulated_run_is_an_ordinary_one(tmp_path: Path) -> None:
    """Logs, checkpoint, result; the same twice; another seed of the delays, another run."""
    result = simulated(tmp_path / "a")
    assert (result.steps, result.ranks, result.simulated) == (60, 4, "delays")
    assert result.staleness_mean > 0
    report = verify(tmp_path / "a")
    assert report.ok, report
    assert report.rows == 60
    newest = Checkpoints(tmp_path / "a" / "checkpoints").newest()
    assert newest is not None
    assert newest.steps == 60
    again = simulated(tmp_path / "b")
    assert again.parameters_sha256 == result.parameters_sha256
    other = simulated(tmp_path / "c", simulate={"seed": 9})
    assert other.parameters_sha256 != result.parameters_sha256


def test_delays_are_measured_from_a_log(tmp_path: Path) -> None:
    """A log without versions has none; what is no run is said."""
    simulated(tmp_path / "a")
    where = {"delay": "measured", "measured_from": str(tmp_path / "a")}
    with pytest.raises(UserError, match=r"versions of at least two ranks"):
        simulated(tmp_path / "b", simulate=where)
    where["measured_from"] = str(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"simulate\.measured_from: .*nothing is no run directory"):
        simulated(tmp_path / "b", simulate=where)
    assert not (tmp_path / "b").exists()


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(UserError, match=r"simulate\.delay_ticks must be a whole number"):
        simulated(tmp_path / "a", simulate={"delay_ticks": 1.5})
    with pytest.raises(UserError, match=r"simulate\.measured_from must be a run directory"):
        simulated(tmp_path / "a", simulate={"delay": "measured"})
    assert not (tmp_path / "a").exists()


def test_very_many_ranks_have_no_logs(tmp_path: Path) -> None:
    """A file each would be too many."""
    result = simulated(tmp_path / "a", simulate={"ranks": 300}, run={"steps": 300})
    assert result.ranks == 300
    assert not (tmp_path / "a" / "log").exists()
    with pytest.raises(Exception, match="no staleness log"):
        open_log(tmp_path / "a")
