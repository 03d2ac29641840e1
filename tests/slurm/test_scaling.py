"""One run file on several numbers of ranks in one job, and the table in the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.templates import (
    BSP,
    ENVIRON,
    JOBS,
    LATE,
    exit_code,
    mpitrain,
    wait_until_empty,
)

pytestmark = pytest.mark.slurm

SCALING = str(JOBS / "scaling.sbatch")
STEPS = "run.steps=60"


def test_counts_one_after_the_other_and_one_that_cannot_be(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Nodes are filled one after the other; what cannot be is said."""
    env = {**ENVIRON, "MPITRAIN_COUNTS": "1 9 2 4", "MPITRAIN_SCALING": "scaling"}
    job = cluster.sbatch(SCALING, BSP, STEPS, cwd=tmp_path, env=env)
    wait_until_empty(cluster, limit_s=90)
    said = (tmp_path / f"scaling-{job}.out").read_text()
    assert exit_code(cluster, job) == 1, said
    assert "9 ranks are more than this job has tasks, 4\n" in said
    assert "mpitrain: not done on 9 ranks, see above" in said
    assert said.count("mpitrain: the run is done\n") == 3
    runs = [str(path) for path in sorted((tmp_path / "scaling").iterdir())]
    facts = json.loads(mpitrain("analyse", "scaling", *runs, "--json", cwd=tmp_path).stdout)
    assert [(row["ranks"], row["nodes"]) for row in facts["runs"]] == [(1, 1), (2, 1), (4, 2)]
    one, _, four = facts["runs"]
    gain = four["samples_per_s"] / one["samples_per_s"]
    assert (one["efficiency"], four["efficiency"]) == (1.0, pytest.approx(gain / 4))
    assert [row["status"] for row in facts["runs"]] == ["done"] * 3
    (head,) = [line for line in said.splitlines() if "efficiency" in line]
    assert head.split()[:3] == ["ranks", "nodes", "steps/s"]


def test_a_signal_stops_the_run_under_way_and_leaves_out_the_rest(
    cluster: Cluster, tmp_path: Path
) -> None:
    """With a checkpoint to go on from."""
    env = {**ENVIRON, "MPITRAIN_COUNTS": "1 2", "MPITRAIN_SCALING": "scaling"}
    words = ["run.steps=100000", "run.progress_every_s=0.2", *LATE]
    job = cluster.sbatch(SCALING, BSP, *words, cwd=tmp_path, env=env)
    output = tmp_path / f"scaling-{job}.out"
    cluster.wait_for(job, lambda _: output.exists() and "step " in output.read_text(), limit_s=60)
    cluster.scancel("--batch", "--signal=USR1", job)
    wait_until_empty(cluster, limit_s=60)
    said = output.read_text()
    assert exit_code(cluster, job) == 3, said
    assert "mpitrain: left out after USR1: 2 ranks\n" in said
    (root,) = (tmp_path / "scaling").iterdir()
    assert json.loads((root / "status.json").read_text())["status"] == "stopped"
    assert list(root.glob("checkpoints/step-*/complete.json"))
