"""Sweeps: the cells of a job array have nothing to do with each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpitrain.config.text import read_toml
from tests.slurm.cluster import Cluster
from tests.slurm.templates import (
    BSP,
    ENVIRON,
    JOBS,
    LATE,
    SMALL,
    exit_code,
    lives_of,
    mpitrain,
    wait_until_empty,
)

pytestmark = pytest.mark.slurm

SWEEP = str(JOBS / "sweep.sbatch")
CELLS = """\
# rates and seeds
optimizer.rate=0.1
optimizer.rate=0.05  # half of it

optimizer.rate='0.02'
optimizer.rate=-1
run.seed=1
run.seed=2
run.seed=3
model.hidden="[16, 8]"
"""


def test_a_failing_cell_leaves_the_others_alone_and_is_all_that_is_submitted_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Eight cells, two at a time, the fourth a mistake; then, corrected, it alone."""
    cells = tmp_path / "cells.txt"
    cells.write_text(CELLS)
    words = [SWEEP, BSP, "cells.txt", "run.steps=10"]
    array = cluster.sbatch("--array=0-7%2", *SMALL, *words, cwd=tmp_path, env=ENVIRON)
    assert wait_until_empty(cluster, limit_s=120) == 2
    assert [exit_code(cluster, f"{array}_{k}") for k in range(8)] == [0, 0, 0, 2, 0, 0, 0, 0]
    sweep = tmp_path / "runs" / "cells"
    results = [sweep / f"cell-{k:03d}" / "result.json" for k in range(8)]
    assert [path.exists() for path in results] == [k != 3 for k in range(8)]
    assert read_toml(sweep / "cell-007" / "run.toml")["model"]["hidden"] == [16, 8]
    assert json.loads(results[5].read_text())["seed"] == 2
    missing = mpitrain("cells", "cells.txt", "--missing", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (0, "3\n"), missing

    cells.write_text(CELLS.replace("=-1", "=0.01"))
    before = {path: path.read_bytes() for path in results if path.exists()}
    again = cluster.sbatch("--array=3", *SMALL, *words, cwd=tmp_path, env=ENVIRON)
    wait_until_empty(cluster, limit_s=60)
    assert exit_code(cluster, f"{again}_3") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert read_toml(sweep / "cell-003" / "run.toml")["optimizer"]["rate"] == 0.01
    missing = mpitrain("cells", "cells.txt", "--missing", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "mpitrain: all 8 cells in runs/cells are done\n"


def test_a_cell_is_requeued_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Also the one whose job has the number of the array, which means all cells to Slurm."""
    (tmp_path / "two.txt").write_text("run.seed=1\nrun.seed=2\n")
    words = [SWEEP, BSP, "two.txt", "run.steps=100000", "run.progress_every_s=0.2", *LATE]
    array = cluster.sbatch("--array=0-1", *SMALL, *words, cwd=tmp_path, env=ENVIRON)
    outputs = [tmp_path / f"sweep-{array}_{k}.out" for k in (0, 1)]
    for k in (0, 1):
        cluster.wait_for(
            f"{array}_{k}",
            lambda _, k=k: outputs[k].exists() and "step " in outputs[k].read_text(),
            limit_s=60,
        )
    (whole,) = [k for k in (0, 1) if cluster.job(f"{array}_{k}")["JobId"] == array]
    cluster.scancel("--batch", "--signal=USR1", f"{array}_{whole}")
    cluster.wait_for(f"{array}_{whole}", lambda job: job["Restarts"] == "1", limit_s=60)
    other = cluster.job(f"{array}_{1 - whole}")
    assert (other["JobState"], other["Restarts"]) == ("RUNNING", "0")
    root = tmp_path / "runs" / "two" / f"cell-{whole:03d}"
    (life,) = lives_of(root)
    assert (life["job"], life["what"]) == (f"{array}_{whole}", "requeued")


def test_an_index_without_a_line_is_said(cluster: Cluster, tmp_path: Path) -> None:
    """In one line, with exit code 2; and so is a sweep that is no array."""
    (tmp_path / "two.txt").write_text("run.seed=1\nrun.seed=2\n")
    words = [*SMALL, SWEEP, BSP, "two.txt"]
    array = cluster.sbatch("--array=2", *words, cwd=tmp_path, env=ENVIRON)
    alone = cluster.sbatch(*words, cwd=tmp_path, env=ENVIRON)
    wait_until_empty(cluster, limit_s=30)
    assert (exit_code(cluster, f"{array}_2"), exit_code(cluster, alone)) == (2, 2)
    said = (tmp_path / f"sweep-{array}_2.out").read_text()
    assert said == "mpitrain: error: two.txt has 2 cells, from 0 on; there is no cell 2\n"
    (said,) = [path.read_text() for path in tmp_path.glob(f"sweep-{alone}_*.out")]
    assert said.startswith("mpitrain: error: ")
    assert len(said.splitlines()) == 1
