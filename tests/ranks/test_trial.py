"""The trial of a window: what it leaves to wait for when a rank does not come."""

from __future__ import annotations

import time

import pytest
from mpi4py import MPI

from mpitrain.comm.trial import DTYPE, try_window
from mpitrain.comm.waiting import Patience
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.window_layout import PROBE_BYTES
from mpitrain.comm.world import World
from mpitrain.core.errors import StallError
from mpitrain.core.shards import Shards

LIMIT_S = 3.0


@pytest.mark.ranks(2)
def test_trial_waits_once_for_a_rank_that_does_not_come(comm: MPI.Intracomm) -> None:
    """Rank 1 makes the window and stays away; rank 0 does not wait for it again to close."""
    world = World(comm)
    world.patience = Patience(warn_s=60, limit_s=LIMIT_S, speak=lambda _line: None)
    if world.rank == 0:
        began = time.perf_counter()
        with pytest.raises(StallError, match="rank 0 waits for rank 1"):
            try_window(world)
        assert time.perf_counter() - began < 2 * LIMIT_S
        comm.send(None, 1)
    else:
        kept = ParameterWindow(
            world, Shards(2 * PROBE_BYTES // DTYPE.itemsize, 2, 2), DTYPE, world.patience
        )
        world.gather_obj("", "windows were made")
        comm.recv(source=0)
        world.meet("what rank 0 waited for")
        assert kept.version(1) == 0
