"""Training in Slurm jobs on two nodes, in every mode, with each MPI and launcher."""

from __future__ import annotations

from pathlib import Path

import pytest

import mpitrain
from mpitrain.analysis.verify import verify
from tests.ranks.launcher import ROOT, python_of, run
from tests.slurm.cluster import Cluster
from tests.slurm.scenes import Scene, Stage

pytestmark = pytest.mark.slurm

WAYS = {  # how ranks are started
    "openmpi-srun": ("openmpi", "srun"),
    "openmpi-mpirun": ("openmpi", "mpirun"),
    "mpich-srun": ("mpich", "srun"),
    "mpich-mpirun": ("mpich", "mpirun"),
}
MODES = ("bsp", "ssp", "asp")
WORDS = ("run.steps=40", "checkpoint.every_steps=1000")
TWO_BY_TWO = ("-N2", "--ntasks-per-node=2")

Scenes = dict[tuple[str, str], Scene]


@pytest.fixture(scope="module")
def scenes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """A run on 2 nodes x 2 ranks of each mode, with each MPI and launcher, side by side."""
    stage = Stage(cluster, tmp_path_factory.mktemp("training"))
    jobs: dict[tuple[str, str], tuple[str, str]] = {}
    for way, (mpi, launcher) in WAYS.items():
        for mode in MODES:
            name = f"{way}-{mode}"
            env = {"MPITRAIN_LAUNCHER": launcher}
            words = [*WORDS, f"mode.kind={mode}"]
            jobs[way, mode] = stage.submit(name, TWO_BY_TWO, words, mpi=mpi, env=env), name
    return {key: stage.end(job, name, 0.0, 300) for key, (job, name) in jobs.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
def test_job_trains_on_two_nodes(scenes: Scenes, way: str, mode: str) -> None:
    """It is done, the log names nodes and job, and the promises hold."""
    scene = scenes[way, mode]
    assert scene.state == "COMPLETED", scene.output
    assert (scene.result["steps"], scene.result["ranks"]) == (40, 4)
    life = mpitrain.open_log(scene.directory).lives[0]
    hosts = [life.ranks[rank].attributes["host"] for rank in range(4)]
    assert len(set(hosts)) == 2
    assert hosts == sorted(hosts)
    attributes = life.ranks[3].attributes
    assert attributes["slurm_nodes"] == f"node[{hosts[0][4:]}-{hosts[3][4:]}]"
    assert attributes["slurm_job"] == scene.chain[0]["job"]
    assert attributes["slurm_restarts"] == "0"
    report = verify(scene.directory)
    assert report.ok, report.findings


@pytest.mark.parametrize("way", WAYS)
def test_asynchronous_run_is_replayed_bit_for_bit(scenes: Scenes, tmp_path: Path, way: str) -> None:
    """Elsewhere, by one process."""
    scene = scenes[way, "asp"]
    words = [
        "-m",
        "mpitrain",
        "replay",
        str(scene.directory),
        f"run.directory={tmp_path / 'again'}",
    ]
    command = [str(python_of(WAYS[way][0])), *words]
    import os

    ended = run(command, cwd=ROOT, timeout=120, environ=os.environ)
    assert ended.returncode == 0, ended
    assert '"is_same": true' in ended.stdout
