from __future__ import annotations

import pytest

from mpitrain.doctor.shared_memory import (
    MemoryFacts,
    fits,
    host_sums,
    judge_memory,
    judge_start,
)
from mpitrain.mpiexec import MPICH, OPENMPI
from mpitrain.segments import backing_folder

MIB = 1 << 20


def memory(free_mib: int) -> MemoryFacts:
    """Return a file system of 1 GiB with so much room."""
    return MemoryFacts(folder="/dev/shm", size_bytes=1024 * MIB, free_bytes=free_mib * MIB)


@pytest.mark.parametrize("kind", [OPENMPI, MPICH])
def test_window_that_does_not_fit_is_wrong(kind: str) -> None:
    """Says what is there, what is needed, and what to do; only Open MPI can be moved away."""
    (finding,) = judge_memory({"a": memory(64)}, {"a": 80 * MIB}, kind, 4)
    assert finding.state == "wrong"
    assert "64.0 MiB of 1.0 GiB free, the run's window needs 80.0 MiB" in finding.value
    assert "--shm-size" in finding.remedy
    assert ("OMPI_MCA_osc_sm_backing_directory" in finding.remedy) == (kind == OPENMPI)


def test_lone_rank_is_only_warned() -> None:
    """Its window is not in shared memory; that of several ranks would be."""
    (finding,) = judge_memory({"a": memory(64)}, {"a": 80 * MIB}, OPENMPI, 1)
    assert finding.state == "warning"


def test_every_host_that_is_short_is_named() -> None:
    """Hosts with room are not."""
    hosts = {"a": memory(64), "b": memory(8), "c": None}
    found = judge_memory(hosts, dict.fromkeys(hosts, 16 * MIB), OPENMPI, 6)
    assert [finding.state for finding in found] == ["wrong", "wrong"]
    assert [host in finding.value for host, finding in zip("bc", found, strict=True)] == [True] * 2


def test_memory_is_ok_when_the_window_fits_or_none_is_needed() -> None:
    """A synchronous run needs none."""
    for needed in (64 * MIB, 0):
        (finding,) = judge_memory({"a": memory(64)}, {"a": needed}, OPENMPI, 4)
        assert finding.state == "ok", finding


def test_small_memory_is_a_warning_when_no_run_is_named() -> None:
    """What containers give by default is soon too little."""
    assert judge_memory({"a": memory(65)}, {}, OPENMPI, 4)[0].state == "ok"
    (finding,) = judge_memory({"a": memory(64)}, {}, OPENMPI, 4)
    assert (finding.state, "16.8 million" in finding.value) == ("warning", True)


def test_mpi_is_not_started_without_room() -> None:
    """MPICH would die of a bus error while it starts."""
    assert judge_start("a", memory(8)) == []
    assert judge_start("a", None) == []
    (finding,) = judge_start("a", memory(7))
    assert finding.state == "wrong"


def test_needs_add_up_on_each_host() -> None:
    """Each rank adds its bytes and a margin; a run without windows needs nothing."""
    margin = host_sums(["a"], [1])["a"] - 1
    assert host_sums(["a", "b", "a"], [1, 20, 300]) == {"a": 301 + 2 * margin, "b": 20 + margin}
    assert host_sums(["a", "b"], [0, 0]) == {"a": 0, "b": 0}
    assert fits(memory(1), MIB)
    assert not fits(memory(1), MIB + 1)


def test_folder_is_where_open_mpi_was_told() -> None:
    """MPICH cannot be told."""
    environ = {"OMPI_MCA_osc_sm_backing_directory": "/tmp"}
    assert [backing_folder(kind, environ) for kind in (OPENMPI, MPICH)] == ["/tmp", "/dev/shm"]
    assert backing_folder(OPENMPI, {}) == "/dev/shm"
