"""One rank fails: the whole job ends within seconds, and says who, once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from tests.ranks.launcher import run_launch

RANKS = 3
MODES = ("mode.kind=bsp", "mode.kind=ssp", "mode.kind=asp")
MPIS = ("openmpi", "mpich")


def run_failing(
    tmp_path: Path, model: str, mode: str, mpi: str, *more: str
) -> tuple[float, int, str]:
    """Train with a model that fails; return seconds, exit code and everything printed."""
    began = time.perf_counter()
    ended = run_launch(
        tmp_path,
        "train",
        f"model.kind=tests.failing_models:{model}",
        mode,
        "run.steps=100000",
        f"run.directory={tmp_path}/run",
        *more,
        ranks=RANKS,
        mpi=mpi,
        timeout=60,
    )
    return time.perf_counter() - began, ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("mpi", MPIS)
@pytest.mark.parametrize("mode", MODES)
def test_exception_on_one_rank_ends_the_job_with_its_traceback(
    tmp_path: Path, mode: str, mpi: str
) -> None:
    """The others sit in a collective or the bounded wait; one traceback, exit code not 0."""
    seconds, code, text = run_failing(tmp_path, "raising", mode, mpi)
    assert code != 0
    assert text.count("Traceback (most recent call last)") == 1, text
    assert "RuntimeError: planted failure" in text
    assert "rank 1 of 3" in text
    assert seconds < 20
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["status"] == "failed"
    assert "rank 1" in status["reason"]


@pytest.mark.parametrize("mpi", MPIS)
@pytest.mark.parametrize("mode", MODES[:2])
def test_mistake_found_by_one_rank_in_mid_run_is_its_line_and_exit_code_2(
    tmp_path: Path, mode: str, mpi: str
) -> None:
    """The others wait for it; the job ends at once, with one line and no traceback."""
    seconds, code, text = run_failing(tmp_path, "mistaken", mode, mpi)
    lines = [line for line in text.splitlines() if line.startswith("mpitrain: error:")]
    assert len(lines) == 1, text
    assert "rank 1 of 3" in lines[0]
    assert "data.path: planted damage" in lines[0]
    assert "Traceback" not in text
    assert code == 2
    assert seconds < 20


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("wrong_init", "model.init must give shape (650,) and float32"),
        ("half_precision", "must be float32 or float64, got float16"),
        ("unequal", "(model.init) must be the same on every rank"),
        ("broken", "failed with ZeroDivisionError: planted in the factory"),
        ("absent", "cannot be imported"),
    ],
)
def test_unusable_model_is_refused_before_anything_is_written(
    tmp_path: Path, model: str, expected: str
) -> None:
    """One line over all ranks, exit code 2, no run directory."""
    _, code, text = run_failing(tmp_path, model, "mode.kind=ssp", "openmpi")
    lines = [line for line in text.splitlines() if line.startswith("mpitrain: error:")]
    assert len(lines) == 1, text
    assert expected in lines[0]
    assert code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", MODES[:2])
def test_leaving_rank_ends_the_job(tmp_path: Path, mode: str) -> None:
    """sys.exit(0) inside a step is a failure too."""
    _, code, text = run_failing(tmp_path, "leaving", mode, "openmpi")
    assert code != 0
    assert "SystemExit" in text


@pytest.mark.parametrize("mpi", MPIS)
@pytest.mark.parametrize("mode", MODES[:2])
def test_hanging_rank_is_named_and_ends_the_job(tmp_path: Path, mode: str, mpi: str) -> None:
    """After mode.warn_s a line names rank 1; after mode.limit_s the job ends with an error."""
    _, code, text = run_failing(tmp_path, "hanging", mode, mpi, "mode.warn_s=1", "mode.limit_s=3")
    assert code != 0
    assert "rank 1 on" in text
    assert "gave up after 3 s" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("mode", MODES)
def test_log_of_a_killed_job_proves_itself(tmp_path: Path, mode: str) -> None:
    """Kill -9 of one rank ends all of them; what reached the files is consistent."""
    _, code, _ = run_failing(tmp_path, "killed", mode, "openmpi", "log.flush_every_s=0.5")
    assert code != 0
    report = verify(tmp_path / "run")
    assert report.ok, report
