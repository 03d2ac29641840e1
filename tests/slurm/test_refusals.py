"""What is wrong with a job is one line, before anything is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.ranks.launcher import ROOT, python_of, run
from tests.slurm.cluster import Cluster
from tests.slurm.scenes import ENDS, TEMPLATE, Stage

pytestmark = pytest.mark.slurm


@pytest.fixture
def stage(cluster: Cluster, tmp_path: Path) -> Stage:
    """Return a place for scenes."""
    return Stage(cluster, tmp_path)


def errors_of(output: str) -> list[str]:
    """Return the lines that name a mistake."""
    return [line for line in output.splitlines() if line.startswith("mpitrain: error:")]


@pytest.mark.parametrize(
    ("mpi", "plugin"), [("openmpi", "none"), ("openmpi", "pmi2"), ("mpich", "none")]
)
def test_ranks_that_do_not_know_each_other_are_refused(stage: Stage, mpi: str, plugin: str) -> None:
    """Each would train alone, as if it were the whole job; one line says which --mpi is right."""
    job = stage.submit(
        "alone", ("-N2", "--ntasks-per-node=2"), (), mpi=mpi, env={"MPITRAIN_SRUN_MPI": plugin}
    )
    scene = stage.end(job, "alone", 0.0)
    assert scene.state == "FAILED", scene.output
    (line,) = errors_of(scene.output)
    right = {"openmpi": "pmix", "mpich": "pmi2"}[mpi]
    assert line.startswith("mpitrain: error: MPI knows 1 rank, but ")
    assert "counts 4: each would train alone" in line
    assert f"srun --mpi={right}" in line
    assert not scene.directory.exists()


def test_one_rank_in_a_script_of_more_tasks_is_said(stage: Stage, cluster: Cluster) -> None:
    """A launcher was forgotten, or somebody tries something small."""
    words = f"run.directory={stage.folder / 'one'} run.steps=3 model.kind=softmax"
    text = f"{python_of('openmpi')} -m mpitrain train {words}"
    out = stage.folder / "one.out"
    job = cluster.sbatch("-N1", "-n2", f"-o{out}", "--wrap", text, cwd=ROOT)
    cluster.wait_for(job, ENDS)
    assert "mpitrain: warning: MPI knows 1 rank, but the Slurm job counts 2; " in out.read_text()
    assert (stage.folder / "one" / "result.json").exists()


def test_launch_starts_no_more_ranks_than_tasks(stage: Stage) -> None:
    """Also where there would be cores."""
    env = {"MPITRAIN_LAUNCHER": "mpirun", "MPITRAIN_RANKS": "3"}
    scene = stage.end(stage.submit("many", ("-N1", "-n2"), (), env=env), "many", 0.0)
    (line,) = errors_of(scene.output)
    assert "launch -n 3: this Slurm job has 2 tasks; start at most 2" in line
    assert "cannot begin" in scene.output
    assert scene.state == "FAILED"
    assert not scene.directory.exists()


def test_mistake_is_not_requeued(stage: Stage) -> None:
    """It would be there again."""
    scene = stage.end(stage.submit("wrong", ("-N1", "-n2"), ["mode.kind=spp"]), "wrong", 0.0)
    assert (scene.state, scene.restarts) == ("FAILED", 0)
    assert len(errors_of(scene.output)) == 1
    assert "unknown mode 'spp'" in scene.output
    assert not scene.directory.exists()


def test_read_only_place_is_one_line(stage: Stage) -> None:
    """The run directory cannot be made."""
    words = ["run.directory=/proc/nowhere"]
    job = stage.submit("proc", ("-N1", "-n2"), words)
    scene = stage.end(job, "proc", 0.0)
    (line,) = errors_of(scene.output)
    assert "/proc/nowhere" in line
    assert scene.state == "FAILED"


def test_failure_that_would_repeat_ends_the_job(stage: Stage) -> None:
    """A loss that is not finite: tried again from a newer checkpoint at most."""
    words = [
        "model.kind=mlp",
        "optimizer.rate=1e30",
        "checkpoint.every_steps=none",
        "checkpoint.every_s=1000",
    ]
    scene = stage.end(stage.submit("nan", ("-N1", "-n2"), words), "nan", 0.0)
    assert scene.state == "FAILED"
    assert scene.story[-1] == ("gave up", "failed")
    assert scene.restarts <= 1


def test_template_outside_slurm(tmp_path: Path) -> None:
    """It says what it is."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("SLURM")}
    ended = run(["bash", TEMPLATE], cwd=tmp_path, timeout=20, environ=environ)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "is the script of a Slurm job; start it by: sbatch" in ended.stderr


def test_template_without_its_site(cluster: Cluster, tmp_path: Path) -> None:
    """Submitted from elsewhere, or the file is gone."""
    script = shutil.copy(TEMPLATE, tmp_path / "train.sbatch")
    out = tmp_path / "out"
    job = cluster.sbatch("-N1", f"-o{out}", str(script), cwd=tmp_path)
    assert cluster.wait_for(job, ENDS)["ExitCode"] == "2:0"
    (line,) = errors_of(out.read_text())
    assert f"there is no {tmp_path}/jobs/site.sh; submit from the folder that holds jobs/" in line


def test_python_that_is_not_there(stage: Stage) -> None:
    """site.sh names what does not run on the node."""
    env = {"MPITRAIN_PYTHON": "/nowhere/python"}
    scene = stage.end(stage.submit("python", ("-N1", "-n1"), (), env=env), "python", 0.0)
    (line,) = errors_of(scene.output)
    assert "'/nowhere/python -m mpitrain' does not run on node" in line


def test_unknown_partition_is_refused_by_slurm(cluster: Cluster) -> None:
    """At once, with Slurm's own words."""
    ended = cluster.run("sbatch", "--partition=nowhere", TEMPLATE, cwd=ROOT, limit_s=20)
    assert ended.returncode != 0
    assert "invalid partition specified: nowhere" in ended.stderr
