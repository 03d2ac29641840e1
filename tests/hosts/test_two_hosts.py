"""Open MPI over TCP between two hosts: every mode completes and proves itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from mpitrain.launch_environment import launcher_defaults
from tests.hosts.two_hosts import missing, two_hosts

RANKS = 4
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "on_two_hosts.py"


@pytest.mark.netns
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_modes_prove_themselves_between_two_hosts(tmp_path: Path) -> None:
    """Two ranks on each host train in every mode; a read from a busy far rank takes < 0.2 s."""
    environment = dict(os.environ)
    launcher_defaults(environment, is_root=True)
    with two_hosts(tmp_path) as launcher:
        mpiexec = str(Path(sys.executable).parent / "mpiexec")
        words = [mpiexec if word == "mpiexec" else word for word in launcher]
        ended = subprocess.run(
            [*words, "-n", str(RANKS), sys.executable, str(SCRIPT), str(tmp_path / "runs")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    facts = json.loads(ended.stdout.splitlines()[-1])
    assert facts["hosts"] == ["node1", "node2"]
    assert facts["remedy"] == "thread"
    assert facts["read_s"] < 0.2, facts
    for name, result in facts["results"].items():
        report = verify(Path(result["directory"]))
        assert report.ok, (name, report)


SCRIPT_WORDS = """
import os, socket
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
print("<", rank, socket.gethostname(), os.environ["MY_WORDS"], os.environ["OMP_NUM_THREADS"], ">")
"""


@pytest.mark.netns
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_launch_puts_ranks_on_hosts_and_passes_the_environment(tmp_path: Path) -> None:
    """As many on each as --hosts says; the far host's own environment is nearly empty."""
    script = tmp_path / "words.py"
    script.write_text(SCRIPT_WORDS)
    with two_hosts(tmp_path) as launcher:
        agent = tmp_path / "agent"
        bare = "exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ip netns"
        agent.write_text(agent.read_text().replace("exec ip netns", bare))
        words = [sys.executable, "-m", "mpitrain", "launch", "--hosts", "10.77.0.1:1,10.77.0.2:2"]
        ended = subprocess.run(
            [*launcher[: launcher.index("mpiexec")], *words, str(script)],
            env={
                **os.environ,
                "MY_WORDS": "ä b",
                "PRTE_MCA_plm_ssh_agent": str(agent),
                "PRTE_MCA_prte_if_include": "10.77.0.0/24",
                "OMPI_MCA_btl_tcp_if_include": "10.77.0.0/24",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    lines = sorted(line for line in ended.stdout.splitlines() if line.startswith("<"))
    hosts = ("node1", "node2", "node2")
    assert lines == [f"< {rank} {host} ä b 1 >" for rank, host in enumerate(hosts)]
