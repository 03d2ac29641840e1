"""One vector for each rank of a host, in memory that all of them load and store.

Who writes: a rank its own vector, nobody else. Who reads: all. What orders it: ``publish``. What a
rank has written before it, all find after it.

What is NOT guaranteed: anything about what is written between two of them, to who reads meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from mpitrain.comm.shared_memory import allocate_shared
from mpitrain.comm.world import World
from mpitrain.core.errors import ClosedError


class SharedVectors:
    """The vectors of all ranks.

    Attributes:
        vectors: (n,) each, by rank, until ``close``.
    """

    def __init__(self, world: World, size: int, dtype: npt.DTypeLike) -> None:
        """Allocate; all ranks must be able to share memory.

        Args:
            world: the ranks.
            size: n, elements of each vector.
            dtype: of an element.

        Raises:
            NoSharedMemoryError: on every rank, when any got none.

        Collective: yes.
        """
        num_bytes = -(-size * np.dtype(dtype).itemsize // 64) * 64  # whole cache lines
        self._world = world
        self._win: MPI.Win | None = allocate_shared(world, num_bytes)
        self._win.Lock_all(MPI.MODE_NOCHECK)
        queries = (self._win.Shared_query(rank) for rank in range(world.size))
        self.vectors: list[npt.NDArray[Any]] = [
            np.asarray(memory)[:num_bytes].view(dtype)[:size] for memory, _ in queries
        ]
        self.vectors[world.rank].fill(0)  # before others touch it: its pages are near this rank
        self.publish("shared memory is zeroed")

    def publish(self, purpose: str) -> None:
        """Wait until all ranks have written, and see what they wrote.

        Args:
            purpose: what all have done then, for the message of a wait that takes too long.

        Raises:
            StallError: a rank did not come within the patience's limit.
            ClosedError: after close.

        Collective: yes.
        """
        if self._win is None:
            message = "the shared memory is already closed"
            raise ClosedError(message)
        self._win.Sync()
        self._world.meet(purpose)
        self._win.Sync()

    def close(self) -> None:
        """Free the memory; a second call does nothing.

        Collective: yes.
        """
        if self._win is not None:
            self.vectors.clear()
            self._world.meet("all ranks have left the shared memory")
            self._win.Unlock_all()
            self._win.Free()
            self._win = None
