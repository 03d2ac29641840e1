"""submit and status on a real Slurm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ranks.launcher import ROOT
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm

RUN = ("mode.kind=bsp", "run.steps=60", "run.progress_every_s=99", "run.directory=r")
HELD = "--sbatch=--hold"


@pytest.fixture
def working(tmp_path: Path) -> Path:
    """Return a folder with an odd name that holds jobs/, to submit from."""
    folder = tmp_path / "it's #1 here"  # no backslash: Slurm drops it from the output's name
    shutil.copytree(ROOT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def mpitrain(
    cluster: Cluster, working: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user of the cluster."""
    environ = {"MPITRAIN_PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "mpitrain", *words]
    return cluster.run(*command, cwd=working, env=environ, limit_s=60)


def submitted(cluster: Cluster, working: Path, *words: str) -> str:
    """Submit a run and return the number of its job."""
    ended = mpitrain(cluster, working, "submit", *RUN, *words)
    assert ended.returncode == 0, ended
    assert ended.stdout.strip().isdecimal(), ended
    return ended.stdout.strip()


def status(cluster: Cluster, working: Path) -> dict[str, Any]:
    """Return how the run stands."""
    ended = mpitrain(cluster, working, "status", "r", "--json")
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_submitted_run_trains_and_status_follows(cluster: Cluster, working: Path) -> None:
    """Held, then on two nodes until it is done; from a folder with an odd name."""
    job = submitted(cluster, working, HELD)
    waiting = status(cluster, working)
    assert (waiting["run"]["state"], waiting["jobs"][0]["state"]) == ("not begun", "PENDING")
    assert waiting["remarks"] == [f"job {job} is held (JobHeldUser); scontrol release {job}"]
    cluster.ask("scontrol", "release", job)
    cluster.wait_for(job, "COMPLETED", limit_s=120)
    done = status(cluster, working)
    assert (done["run"]["state"], done["run"]["steps"], done["run"]["job"]) == ("done", 60, job)
    assert [entry["what"] for entry in done["chain"]] == ["submitted", "ended"]
    assert (done["jobs"], done["remarks"]) == ([], [])
    again = mpitrain(cluster, working, "submit", *RUN)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "holds a run that is done" in again.stderr


def test_slurm_reads_each_option_as_it_was_given(cluster: Cluster, working: Path) -> None:
    """Quotes, blanks, signs of comments and backslashes, in the script as on the command line."""
    name, comment = "a \"b\" 'c' \\d #e", "x=1 # \\ \"y\" 'z'"
    job = submitted(cluster, working, HELD, "--name", name, f"--sbatch=--comment={comment}")
    kept = cluster.sbatch("r/job.sbatch", cwd=working)  # there the script alone says it
    for number in (job, kept):
        found = cluster.job(number)
        assert (found["JobName"], found["Comment"], found["WorkDir"]) == (
            name,
            comment,
            str(working),
        )


def test_an_option_wins_over_the_site_and_the_site_over_the_template(
    cluster: Cluster, working: Path
) -> None:
    """For sbatch its environment wins over a script, so options are on its command line too."""
    with (working / "jobs" / "site.sh").open("a") as site:
        site.write("export SBATCH_PARTITION=urgent SBATCH_TIMELIMIT=7\n")
    by_site = cluster.job(submitted(cluster, working, HELD))
    assert (by_site["Partition"], by_site["TimeLimit"]) == ("urgent", "00:07:00")
    words = (HELD, "--partition", "main", "--time", "9", "run.directory=other")
    by_option = cluster.job(submitted(cluster, working, *words))
    assert (by_option["Partition"], by_option["TimeLimit"]) == ("main", "00:09:00")


def test_a_cancelled_job_is_found_out(cluster: Cluster, working: Path) -> None:
    """It never began, and status says so."""
    job = submitted(cluster, working, HELD)
    cluster.scancel(job)
    cluster.wait_for(job, "CANCELLED")
    (remark,) = status(cluster, working)["remarks"]
    assert remark.startswith(
        f"the run never began, and job {job} is CANCELLED; sbatch r/job.sbatch"
    )


def test_what_slurm_refuses_is_one_line(cluster: Cluster, working: Path) -> None:
    """A partition that does not exist; nothing is left."""
    ended = mpitrain(cluster, working, "submit", *RUN, "--partition", "nope")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "mpitrain: error: sbatch refused the job: invalid partition specified: nope; "
        "Batch job submission failed: Invalid partition name specified\n"
    )
    assert not (working / "r").exists()
