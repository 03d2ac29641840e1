"""What the tests of the job templates share: how jobs find this checkout, and waiting for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.ranks.launcher import ROOT
from tests.slurm.cluster import Cluster

JOBS = ROOT / "jobs"
BSP = str(JOBS / "digits-bsp.toml")
ENVIRON = {"MPITRAIN_JOBS": str(JOBS), "MPITRAIN_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
SMALL = ("--nodes=1", "--ntasks-per-node=1")
LATE = ("straggler.kind=constant", "straggler.delay=0.02")
"""A step takes so long, whatever else the machine does."""


def mpitrain(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of mpitrain where jobs are submitted."""
    command = [sys.executable, "-m", "mpitrain", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def wait_until_empty(cluster: Cluster, *, limit_s: float) -> int:
    """Wait until no job is queued or runs; return how many ran at once at most.

    Raises:
        AssertionError: some were there after ``limit_s`` seconds.
    """
    most, until = 0, time.monotonic() + limit_s
    while states := cluster.ask("squeue", "-h", "-r", "-o", "%T").split():
        most = max(most, states.count("RUNNING"))
        assert time.monotonic() < until, cluster.ask("squeue") + cluster.report()
        time.sleep(0.2)
    return most


def exit_code(cluster: Cluster, job_id: str) -> int:
    """Return the exit code of a job that has ended."""
    return int(cluster.job(job_id)["ExitCode"].partition(":")[0])


def lives_of(root: Path) -> list[dict[str, Any]]:
    """Return the job chain of a run as its file tells it, without what was only submitted."""
    entries = [json.loads(line) for line in (root / "jobs.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["what"] != "submitted"]
