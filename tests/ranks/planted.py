"""Tests with planted faults, for the test of the harness alone (their file is not collected)."""

from __future__ import annotations

import atexit
import os
import time

import pytest
from mpi4py import MPI


@pytest.mark.ranks(2, limit_s=10)
def test_good(comm: MPI.Intracomm) -> None:
    """Pass on both ranks."""
    assert comm.allreduce(1) == 2


@pytest.mark.ranks(2, limit_s=10)
def test_bad_on_one_rank(comm: MPI.Intracomm) -> None:
    """Fail on rank 1, while rank 0 waits for it."""
    assert comm.rank == 0, "planted fault"
    comm.recv(source=1)


@pytest.mark.ranks(2, limit_s=10)
def test_hanging(comm: MPI.Intracomm) -> None:
    """Hang on rank 1."""
    while comm.rank == 1:
        time.sleep(0.1)
    comm.barrier()


@pytest.mark.ranks(2, limit_s=10)
def test_good_after_all_that(comm: MPI.Intracomm) -> None:
    """Pass, although the tests before took their jobs down."""
    assert comm.allreduce(comm.rank) == 1


@pytest.mark.ranks(3, limit_s=10)
def test_crash_after_everything_passed(comm: MPI.Intracomm) -> None:
    """Pass, but leave rank 1 in a state in which it ends with a signal."""
    if comm.rank == 1:
        atexit.register(os.abort)


@pytest.mark.ranks(1, limit_s=10)
def test_crash(comm: MPI.Intracomm) -> None:
    """Kill the only rank in the middle of the test."""
    os._exit(comm.size - 1)
