"""Signals through the real launchers: see stress_signals for many moments."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.lives.jobs import LAUNCHERS, Job, wait_for_steps
from tests.lives.stress_signals import SETTINGS, one


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("mode", ["bsp", "ssp", "asp"])
def test_signal_stops_at_an_agreed_step_and_resume_goes_on(
    tmp_path: Path, launcher: str, mode: str
) -> None:
    """Exit code 3, one line, every finished update on the timeline; then the rest."""
    assert one(tmp_path, launcher, mode, 2.0) == "3 stopped"


@pytest.mark.parametrize("launcher", ["launch", "launch-mpich"])
@pytest.mark.parametrize("at_s", [0.5, 0.8, 1.2])
def test_signal_while_a_job_starts_is_kept(tmp_path: Path, launcher: str, at_s: float) -> None:
    """The launcher passes it on as soon as the ranks can take it."""
    assert one(tmp_path, launcher, "ssp", at_s) == "3 stopped"


@pytest.mark.parametrize("launcher", ["launch", "launch-mpich", "mpiexec"])
def test_interrupt_and_termination_stop_a_run_too(tmp_path: Path, launcher: str) -> None:
    """Ctrl-C and a batch system's TERM are a wish to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        run = tmp_path / f"run-{number}"
        words = ["train", "mode.kind=ssp", f"run.directory={run}", *SETTINGS]
        job = Job(tmp_path, launcher, 2, words)
        wait_for_steps(job, run)
        job.signal(number)
        assert job.wait() == 3, job.text()
        state = json.loads((run / "status.json").read_text())
        assert state["status"] == "stopped"
        assert "signal" in state["reason"]
