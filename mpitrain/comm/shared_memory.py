"""A window in memory that the ranks of one host share, or word from all that there is none."""

from __future__ import annotations

from mpi4py import MPI

from mpitrain.comm.world import World
from mpitrain.core.errors import NoSharedMemoryError, agreed


def allocate_shared(world: World, num_bytes: int) -> MPI.Win:
    """Allocate a window that all ranks can load and store; see MPI_Win_allocate_shared.

    Args:
        world: the ranks, all on one host.
        num_bytes: of this rank.

    Raises:
        NoSharedMemoryError: on every rank, when any got none.

    Collective: yes.
    """
    win, error = None, ""
    world.meet("shared memory is allocated")
    try:
        win = MPI.Win.Allocate_shared(num_bytes, 1, comm=world.comm)
    except MPI.Exception as failure:
        error = f"rank {world.rank}: {failure.Get_error_string()}"
    errors = [text for text in world.gather_obj(error, "shared memory was allocated") if text]
    if errors or win is None:  # to free it would wait for those that have none
        raise agreed(NoSharedMemoryError(errors[0]))
    return win
