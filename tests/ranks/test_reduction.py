"""Reductions: the stated order to the last bit, the same result on every rank, late ranks named."""

from __future__ import annotations

import time

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.reduction import LibraryReduction, TreeReduction
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.core.errors import StallError
from mpitrain.core.tree import tree_sum_into

BOTH = ("openmpi", "mpich")


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize("size", [1, 5, 1000, 300_001])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tree_reduction_adds_in_the_stated_order(
    comm: MPI.Intracomm, size: int, dtype: str
) -> None:
    """The result is that of core.tree on the gathered vectors, bit for bit, thrice in a row."""
    world = World(comm)
    vector = np.zeros(size, dtype)
    reduction = TreeReduction(world, vector)
    for round_ in range(3):
        parts = [
            np.random.default_rng([round_, p]).standard_normal(size).astype(dtype) * 10.0**p
            for p in range(world.size)
        ]
        vector[:] = parts[world.rank]
        reduction.sum_in_place()
        tree_sum_into(parts)
        assert vector.tobytes() == parts[0].tobytes()
    reduction.close()
    reduction.close()
    world.close()


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
def test_library_reduction_sums_over_all_ranks(comm: MPI.Intracomm) -> None:
    """Integer-valued vectors add up exactly in whatever order."""
    world = World(comm)
    vector = np.full(1000, world.rank + 1.0)
    reduction = LibraryReduction(world, vector)
    reduction.sum_in_place()
    assert np.all(vector == world.size * (world.size + 1) / 2)
    reduction.close()
    world.close()


@pytest.mark.ranks(3, 4)
@pytest.mark.parametrize("kind", [TreeReduction, LibraryReduction])
def test_reduction_names_the_late_rank(
    comm: MPI.Intracomm, kind: type[TreeReduction] | type[LibraryReduction]
) -> None:
    """While rank 1 is late by 0.6 s, a rank that waits for it says so."""
    world = World(comm)
    lines: list[str] = []
    world.patience = Patience(warn_s=0.15, limit_s=30, speak=lines.append)
    world.speak = lines.append  # type: ignore[method-assign]
    reduction = kind(world, np.ones(100))
    world.meet("rank 1 becomes late")
    lines.clear()
    if world.rank == 1:
        time.sleep(0.6)
    reduction.sum_in_place()
    said = [line for part in world.gather_obj(lines) for line in part]
    assert any("waits for rank 1 on" in line for line in said), said
    reduction.close()
    world.close()


@pytest.mark.ranks(2, 3, mpis=BOTH)
@pytest.mark.parametrize("size", [10, 5000, 300_000])
def test_reduction_names_a_rank_that_is_late_in_the_middle(comm: MPI.Intracomm, size: int) -> None:
    """Rank 1 has begun all its messages and then stays away from MPI, whatever has been sent."""
    world = World(comm)
    lines: list[str] = []
    world.patience = Patience(warn_s=0.15, limit_s=30, speak=lines.append)
    vector = np.ones(size)
    reduction = TreeReduction(world, vector)
    is_complete, left = reduction._is_complete, [world.rank == 1]

    def late() -> bool:
        if left[0]:
            left[0] = False
            time.sleep(0.85)  # between two warnings
        return is_complete()

    reduction._is_complete = late  # type: ignore[method-assign]
    world.meet("rank 1 becomes late")
    lines.clear()
    reduction.sum_in_place()
    parts = world.gather_obj(lines)
    others = [line for rank, part in enumerate(parts) if rank != 1 for line in part]
    assert any("waits for rank 1 on" in line for line in others), others
    assert not any("its messages" in line for line in others), others
    assert np.all(vector == world.size)
    reduction.close()
    world.close()


@pytest.mark.ranks(2)
def test_reduction_gives_up_at_the_limit(comm: MPI.Intracomm) -> None:
    """A rank that never comes ends the wait with an error that names it."""
    world = World(comm)
    vector = np.ones(100)
    reduction = TreeReduction(world, vector)
    usual = world.patience
    world.patience = Patience(warn_s=0.1, limit_s=0.3, speak=lambda _line: None)
    if world.rank == 0:
        with pytest.raises(StallError, match=r"rank 0 waits for rank 1 on .*gave up after 0\.3 s"):
            reduction.sum_in_place()
        world.patience = usual
        world.patience.wait_until(reduction._is_complete, lambda: "rank 1")
    else:
        time.sleep(0.8)
        reduction._exchange(reduction._scatter)
    world.meet("the messages are through")
    reduction.close()
    world.close()
