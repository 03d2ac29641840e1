"""``doctor`` on the nodes of a job."""

from __future__ import annotations

import pytest

from tests.ranks.launcher import python_of
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.slurm

TWO_BY_TWO = ("-N2", "-n4", "--ntasks-per-node=2")
# the second node has another environment than the first
UNEVEN = '[ "$SLURMD_NODENAME" = node1 ] || export OPENBLAS_NUM_THREADS=4; exec "$@"'


def lines_of(cluster: Cluster, *words: str) -> dict[str, str]:
    """Return what doctor says under srun, by the name of the check."""
    ended = cluster.srun(*TWO_BY_TWO, *words, limit_s=150)
    lines = ended.stdout.splitlines()
    assert lines, ended
    # names may have two words: the value begins at a column
    return {line[9:26].strip(): f"{line[:9].strip()} {line[26:]}" for line in lines}


def test_nodes_are_compared(cluster: Cluster) -> None:
    """One job of four ranks on two nodes, all with the same software, and the job is named."""
    found = lines_of(cluster, "--mpi=pmix", str(python_of("openmpi")), "-m", "mpitrain", "doctor")
    assert found["ranks"] == "ok 4 ranks"
    assert found["hosts"] == "ok 2 (node1, node2, all with the same software)"
    assert found["slurm"].endswith(", 4 tasks on node[1-2]")
    assert "among 4 ranks" in found["exactness"]


def test_what_differs_between_nodes_is_named(cluster: Cluster) -> None:
    """BLAS with more threads on one of them makes it slower and its bits others."""
    uneven = ["bash", "-c", UNEVEN, "bash", str(python_of("openmpi"))]
    found = lines_of(cluster, "--mpi=pmix", *uneven, "-m", "mpitrain", "doctor")
    assert found["blas"].startswith("warning ")
    assert " threads on rank 2 of 4, node2 -> " in found["blas"]
