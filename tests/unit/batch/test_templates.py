"""The job templates before any rank starts: what a mistake in site.sh or in their words makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[3] / "jobs"
JOB = {
    "SLURM_JOB_ID": "1",
    "SLURM_JOB_NAME": "t",
    "SLURM_JOB_NODELIST": "n1",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NUM_NODES": "1",
    "SLURM_ARRAY_TASK_ID": "0",
}
WORDS = {"train.sbatch": [], "sweep.sbatch": ["r.toml", "c.txt"], "scaling.sbatch": []}

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Return a function that runs a template as a job, with a site file, and gives its errors."""
    jobs = tmp_path / "jobs"
    shutil.copytree(JOBS, jobs)

    def call(name: str, *words: str, site: str = "", **variables: str) -> str:
        with (jobs / "site.sh").open("a", encoding="utf-8") as file:
            file.write(f"\n{site}\n")
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("SLURM", "MPITRAIN"))}
        done = subprocess.run(
            ["bash", str(jobs / name), *words],
            cwd=tmp_path,
            env={**kept, **JOB, "MPITRAIN_PYTHON": sys.executable, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr

    return call


@pytest.mark.parametrize("name", WORDS)
def test_a_site_file_that_fails_ends_the_job(refused: Refused, name: str) -> None:
    """Also where a line would have ended the shell without a word."""
    said = refused(name, *WORDS[name], site="set -e; echo no such module >&2; false")
    module, error = said.splitlines()
    assert module == "no such module"
    assert "jobs/site.sh failed on " in error


def test_a_site_file_may_use_what_is_not_set(refused: Refused) -> None:
    """Modules and environments do; and what is no launcher is said."""
    said = refused("train.sbatch", site=': "$NOT_SET_ANYWHERE"; LAUNCHER=mpiexec')
    assert said.count("\n") == 1
    assert "LAUNCHER is 'mpiexec' in " in said
    assert "must be srun or mpirun" in said


def test_a_python_without_mpi_is_one_line(refused: Refused, tmp_path: Path) -> None:
    """What srun must speak cannot be told, so nothing is started."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -P "$@"\n')
    program.chmod(0o755)
    root = str(JOBS.parent)
    said = refused("train.sbatch", MPITRAIN_PYTHON=str(program), PYTHONPATH=root)
    assert said.count("\n") == 1
    assert said.startswith("mpitrain: error: ")


@pytest.mark.parametrize("counts", ["one", "1,2,4", "0", "-2", "2.5"])
def test_counts_that_are_none(refused: Refused, counts: str) -> None:
    """Numbers with blanks between them are asked for."""
    said = refused("scaling.sbatch", MPITRAIN_COUNTS=counts)
    assert said.count("\n") == 1
    assert f"like '1 2 4', got '{counts}'" in said


def test_a_sweep_without_cells_names_itself(refused: Refused) -> None:
    """Slurm runs a copy, whose name would be of no use."""
    said = refused("sweep.sbatch", "r.toml")
    assert "start it by: sbatch --array=0-7%2 jobs/sweep.sbatch RUN.toml CELLS.txt" in said
