"""Making a small parameter window for real and probing it, before anyone relies on windows."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from mpitrain.comm.findings import Trial
from mpitrain.comm.probe import WindowProbe
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.window_layout import PROBE_BYTES, WindowLayout
from mpitrain.comm.world import World
from mpitrain.core.errors import MpitrainError
from mpitrain.core.shards import Shards

DTYPE = np.dtype(np.float32)


def rank_bytes(size: int) -> int:
    """Return the window memory that a trial takes on one of ``size`` ranks, at most."""
    return WindowLayout.of(_shards(size), DTYPE.itemsize).memory_bytes(0)


def try_window(world: World) -> Trial:
    """Make a window of a shard of 1 MiB per rank, probe it and free it.

    Raises:
        StallError: the ranks did not come out of it together; the window is left as it is.

    Collective: yes.
    """
    window, error = None, ""
    try:
        window = ParameterWindow(world, _shards(world.size), DTYPE, world.patience)
    except MPI.Exception as failure:
        error = f"rank {world.rank}: {failure.Get_error_string()}"
    errors = [text for text in world.gather_obj(error, "windows were made") if text]
    if errors or window is None:
        return Trial(window_error=errors[0])
    probe = WindowProbe(world, window)
    try:
        trial = Trial(findings=probe.run("auto"))
    except MpitrainError as failure:
        if not failure.is_agreed:  # closing would wait for the rank that did not come once more
            raise
        trial = Trial(exactness_error=str(failure))
    window.close()
    probe.close()
    return trial


def _shards(size: int) -> Shards:
    return Shards(size * PROBE_BYTES // DTYPE.itemsize, size, size)
