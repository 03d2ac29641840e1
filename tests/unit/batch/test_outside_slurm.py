"""The job templates where there is no Slurm job, or where they find nothing: one line each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[3] / "jobs"
JOB = {"SLURM_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0"}


def refused(folder: Path, name: str, *words: str, **variables: str) -> str:
    """Return the line with which a template ends that cannot do its work."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MPITRAIN_"))}
    done = subprocess.run(
        ["bash", str(JOBS / name), *words],
        cwd=folder, env={**kept, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mpitrain: error: ")
    return line


@pytest.mark.parametrize("name", ["train.sbatch", "sweep.sbatch", "scaling.sbatch"])
def test_outside_slurm(name: str, tmp_path: Path) -> None:
    """It says how it is submitted; and in a job, what it needs beside it."""
    assert "start it by: sbatch" in refused(tmp_path, name, "run.toml", "cells.txt")
    line = refused(tmp_path, name, "run.toml", "cells.txt", **JOB)
    assert "there is no ./jobs/site.sh" in line


@pytest.mark.parametrize("words", [(), ("0", "run.toml"), ("run.toml",), ("-1", "run.toml")])
def test_chain_without_a_number(words: tuple[str, ...], tmp_path: Path) -> None:
    """How many jobs is what it cannot guess."""
    assert "how many jobs?" in refused(tmp_path, "chain.sh", *words)
