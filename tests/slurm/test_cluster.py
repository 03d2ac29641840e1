"""The cluster that other tests stand on."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ranks.launcher import ROOT, python_of
from tests.slurm.cluster import Cluster
from tests.slurm.cluster_files import Shape

pytestmark = pytest.mark.slurm

SUM = """
from socket import gethostname
from mpi4py import MPI
world = MPI.COMM_WORLD
print(gethostname(), world.size, world.allreduce(10 ** world.rank), flush=True)
"""
ENDLESS = "#!/bin/bash\nsleep 600 & wait\n"
OWNER = """
import sys, time
from pathlib import Path
from tests.slurm.cluster import Cluster
from tests.slurm.cluster_files import Shape
with Cluster(Shape(num_nodes=1)) as cluster:
    cluster.wait_for(cluster.sbatch(sys.argv[1], cwd=cluster.folder), "RUNNING")
    print(cluster.folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def endless(tmp_path: Path) -> str:
    """Return the path of a job that does not end by itself."""
    script = tmp_path / "endless.sh"
    script.write_text(ENDLESS)
    return str(script)


def test_nodes_are_machines_of_their_own(cluster: Cluster) -> None:
    """Each has a host name of its own, knows the others, and sees its processes only."""
    assert set(cluster.node_states().values()) == {"idle"}
    words = "hostname; getent hosts node3 | wc -l; ls /dev/shm | wc -l; cat /proc/1/cmdline"
    ended = cluster.srun("-N3", "-l", "bash", "-c", words)
    lines = sorted(ended.stdout.splitlines())
    for k, node in enumerate(cluster.nodes):
        found = [line.removeprefix(f"{k}: ") for line in lines if line.startswith(f"{k}: ")]
        assert sorted(found)[:2] == ["0", "1"], ended
        assert node in found
        assert f"node.sh\0{node}" in found[2], ended


@pytest.mark.parametrize(("mpi", "plugin"), [("openmpi", "pmix"), ("mpich", "pmi2")])
def test_srun_starts_ranks_that_know_each_other(
    cluster: Cluster, tmp_path: Path, mpi: str, plugin: str
) -> None:
    """Two nodes with two ranks each add up one number of every rank."""
    script = tmp_path / "sum.py"
    script.write_text(SUM)
    words = [f"--mpi={plugin}", "-N2", "-n4", "--ntasks-per-node=2", str(python_of(mpi))]
    ended = cluster.srun(*words, str(script))
    assert ended.returncode == 0, ended
    assert sorted(ended.stdout.splitlines()) == 2 * ["node1 4 1111"] + 2 * ["node2 4 1111"], ended


def test_preempted_job_gets_its_signal(cluster: Cluster, tmp_path: Path) -> None:
    """The batch shell of a job that must make room hears of it at once."""
    script = tmp_path / "warned.sh"
    warned, ready = tmp_path / "warned", tmp_path / "ready"
    script.write_text(
        f"#!/bin/bash\ntrap 'touch {warned}; exit' USR1\ntouch {ready}\nsleep 600 & wait\n"
    )
    words = ["-N3", "--exclusive", "--requeue", "--signal=B:USR1@60", str(script)]
    weak = cluster.sbatch(*words, cwd=tmp_path)
    cluster.wait_for(weak, lambda _: ready.exists())
    urgent = cluster.sbatch("-purgent", "-N3", "--exclusive", "--wrap=true", cwd=tmp_path)
    cluster.wait_for(weak, lambda _: warned.exists())
    cluster.wait_for(urgent, "COMPLETED")


def test_wait_that_fails_shows_record_output_and_logs(cluster: Cluster, tmp_path: Path) -> None:
    """What a developer needs to see is in the message."""
    words = ["--wrap", "echo spoken; exit 3", "-o", str(tmp_path / "out")]
    job = cluster.sbatch(*words, cwd=tmp_path)
    cluster.wait_for(job, "FAILED")
    with pytest.raises(AssertionError, match="not COMPLETED") as caught:
        cluster.wait_for(job, "COMPLETED", limit_s=0)
    for part in ("ExitCode=3:0", "\nspoken\n", "slurmctld.log", f"JobId={job}", "node1.log"):
        assert part in str(caught.value)


def test_stop_leaves_nothing_and_disturbs_no_other_cluster(cluster: Cluster, endless: str) -> None:
    """A second cluster, with a job and GPUs, comes and goes beside the first."""
    with Cluster(Shape(num_nodes=1, num_gpus=2)) as other:
        assert "gpu:2" in other.ask("scontrol", "show", "node", "node1")
        other.wait_for(other.sbatch("--gpus=2", endless, cwd=other.folder), "RUNNING")
        assert len(processes_of(other.folder)) >= 5
    assert not processes_of(other.folder)
    assert not other.folder.exists()
    assert cluster.node_states() == dict.fromkeys(cluster.nodes, "idle")


def test_killed_owner_leaves_no_process(endless: str) -> None:
    """Daemons and jobs end with the process that made the cluster, even when it is killed."""
    words = [sys.executable, "-c", OWNER, endless]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        before = processes_of(folder)
        owner.kill()
    assert len(before) >= 5
    until = time.monotonic() + 5
    while processes_of(folder) and time.monotonic() < until:
        time.sleep(0.01)
    assert not processes_of(folder)
    shutil.rmtree(folder)


def processes_of(folder: Path) -> list[int]:
    """Return the processes that have a cluster's folder in their command or environment."""
    return [
        int(of_process.name)
        for of_process in Path("/proc").iterdir()
        if of_process.name.isdecimal() and str(folder) in _words(of_process)
    ]


def _words(of_process: Path) -> str:
    try:
        parts = [(of_process / name).read_bytes() for name in ("cmdline", "environ")]
    except OSError:
        return ""
    return b"\0".join(parts).decode(errors="replace")
