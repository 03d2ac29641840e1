"""Vectors in memory of all ranks of a host: what is published is seen, a late rank is named."""

from __future__ import annotations

import time

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.shared_vectors import SharedVectors
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.core.errors import StallError

BOTH = ("openmpi", "mpich")


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize(("size", "dtype"), [(1, "float32"), (1001, "float64")])
def test_what_is_published_is_seen_by_all(comm: MPI.Intracomm, size: int, dtype: str) -> None:
    """Whoever is late; vectors do not overlap."""
    world = World(comm)
    shared = SharedVectors(world, size, dtype)
    assert all(np.all(vector == 0) for vector in shared.vectors)
    shared.publish("all have looked")
    random = np.random.default_rng(world.rank)
    for step in range(20):
        if random.random() < 0.3:
            time.sleep(random.random() * 0.003)
        shared.vectors[world.rank].fill(100 * step + world.rank)
        shared.publish("all have written")
        for rank, vector in enumerate(shared.vectors):
            assert np.all(vector == 100 * step + rank)
        shared.publish("all have read")
    shared.close()
    shared.close()
    world.close()


@pytest.mark.ranks(3)
def test_late_rank_is_named(comm: MPI.Intracomm) -> None:
    """By its right neighbour, with the purpose."""
    world = World(comm)
    world.patience = Patience(warn_s=0.1, limit_s=0.5, speak=lambda _: None)
    shared = SharedVectors(world, 5, "float32")
    if world.rank == 1:
        time.sleep(1.0)
    elif world.rank == 2:
        with pytest.raises(StallError, match=r"waits for rank 1 on .*, until all have written"):
            shared.publish("all have written")
    else:
        with pytest.raises(StallError, match="until all have written"):
            shared.publish("all have written")
    MPI.COMM_WORLD.Barrier()
