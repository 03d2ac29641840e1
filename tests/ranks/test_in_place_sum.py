"""Gradients summed by devices in shared memory: the stated order to the last bit, at any pace."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.shared_vectors import SharedVectors
from mpitrain.comm.world import World
from mpitrain.core.tree import tree_sum_into
from mpitrain.devices.in_place import InPlace
from mpitrain.kernels.twins import device_twin
from mpitrain.modes.in_place_sum import InPlaceSum
from mpitrain.modes.message import NUM_SIGNALS

NUM_STEPS = 12


@pytest.mark.ranks(2, 3, 4, 7)
@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sum_is_that_of_the_tree_bit_for_bit(
    comm: MPI.Intracomm, cupy: Any, size: int, dtype: str
) -> None:
    """With ranks late at random; subnormal numbers are kept; signals are summed beside it."""
    world = World(comm)
    shared, twin = SharedVectors(world, size + NUM_SIGNALS, dtype), device_twin()
    bus = InPlace(twin.xp, shared.vectors)
    world.meet("all ranks have locked the memory")
    summed = InPlaceSum(world.rank, shared, bus, twin)
    pace = np.random.default_rng(world.rank)
    for step in range(NUM_STEPS):
        parts = [_gradient(step, rank, size, dtype) for rank in range(world.size)]
        summed.gradient.set(parts[world.rank])
        summed.signals[:] = (world.rank == step % world.size, world.rank)
        if pace.random() < 0.3:
            time.sleep(pace.random() * 0.003)
        summed.sum_in_place()
        tree_sum_into(parts)
        assert summed.gradient.get().tobytes() == parts[0].tobytes()
        assert summed.signals.tolist() == [1, world.size * (world.size - 1) / 2]
    summed.close()
    summed.close()
    world.close()


def _gradient(step: int, rank: int, size: int, dtype: str) -> np.ndarray[Any, Any]:
    values = np.random.default_rng([step, rank]).standard_normal(size).astype(dtype)
    return (values * np.asarray(10.0 ** (rank if step % 2 else rank - 40), dtype)).astype(dtype)
