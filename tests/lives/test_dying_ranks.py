"""A rank dies or hangs in a phase of a step: see stress_failures for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lives.stress_failures import one

CASES = [
    ("launch", "bsp", "collective", "loop"),
    ("launch", "bsp", "compute", "stop"),
    ("launch", "ssp", "write", "stop"),
    ("launch", "ssp", "wait", "segv"),
    ("launch", "asp", "compute", "loop"),
    ("launch", "asp", "checkpoint", "kill"),
    ("launch", "bsp", "checkpoint", "stop"),
    ("launch-mpich", "bsp", "write", "kill"),
    ("launch-mpich", "ssp", "read", "stop"),
    ("launch-mpich", "asp", "write", "kill"),
]


@pytest.mark.parametrize(("launcher", "mode", "phase", "action"), CASES)
def test_job_ends_in_time_leaves_nothing_and_goes_on(
    tmp_path: Path, launcher: str, mode: str, phase: str, action: str
) -> None:
    """The rank is named; no process and no shared memory stays; resume ends the run."""
    is_well, text = one(tmp_path, launcher, mode, phase, action)
    assert is_well, text
    assert "rank 1 on" in text or "rank 1 of" in text, text
