"""The harness of tests on ranks tells good tests from bad and from hanging ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks.launcher import ROOT, left_after, run, run_launch

STUBBORN = """
import os, pathlib, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
pathlib.Path(sys.argv[1], f"pid-{os.getpid()}").touch()
time.sleep(600)
"""


def test_harness_reports_every_test_on_its_own() -> None:
    """A failing rank and a hanging rank are found and shown; tests before and after pass."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    ended = run(
        [*command, "tests/ranks/planted.py"], cwd=ROOT, timeout=120, environ=dict(os.environ)
    )
    text = ended.stdout
    assert ended.returncode == 1, text + ended.stderr
    assert "test_good[openmpi-2] PASSED" in text
    assert "test_bad_on_one_rank[openmpi-2] FAILED" in text
    assert "rank 1 of 2 failed" in text
    assert "planted fault" in text
    assert "test_hanging[openmpi-2] FAILED" in text
    assert "the test took longer than 10 s" in text
    assert "stacks of rank 1" in text
    assert "in test_hanging" in text
    assert "test_good_after_all_that[openmpi-2] PASSED" in text
    assert "test_crash_after_everything_passed[openmpi-3] FAILED" in text
    assert "after the last test the job ended with exit code" in text
    assert "test_crash[openmpi-1] FAILED" in text


def test_time_out_leaves_no_rank_behind(tmp_path: Path) -> None:
    """Ranks that ignore every polite signal, in process groups of their own, are killed."""
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    with pytest.raises(subprocess.TimeoutExpired):
        run_launch(tmp_path, str(script), str(tmp_path), ranks=2, mpi="mpich", timeout=5)
    pids = [int(path.name.partition("-")[2]) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    assert not left_after(pids)
