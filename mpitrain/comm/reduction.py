"""Sums over all ranks in a stated order, and the MPI library's own for comparison.

The tree reduction cuts the vector into one part per rank. Every rank sends part q to rank q,
adds the P contributions to its own part in the order of a balanced binary tree over rank numbers
(core/tree.py), and sends the sum to all. Each byte crosses twice, as in any reduce-scatter and
allgather, and the order of additions depends on nothing but the number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from mpitrain.comm.world import TOKEN_TAG, World
from mpitrain.core.tree import tree_sum_into

SCATTER_TAG = 2
GATHER_TAG = 3


class Reduction(Protocol):
    """Sums one fixed vector over all ranks, in place."""

    def sum_in_place(self) -> None:
        """Replace the vector by its sum over the ranks, the same bits on every rank.

        Raises:
            StallError: a rank did not take part within the patience's limit.

        Collective: yes.
        """

    def close(self) -> None:
        """Free what MPI holds; a second call does nothing.

        Collective: no.
        """


class TreeReduction:
    """Sums ``vector`` over the ranks in the tree's order."""

    def __init__(self, world: World, vector: npt.NDArray[Any]) -> None:
        """Prepare persistent messages on ``vector``.

        Args:
            world: the ranks.
            vector: (n,), float32 or float64, host; every ``sum_in_place`` works on it.

        Collective: yes.
        """
        self._world = world
        size, rank = world.size, world.rank
        bounds = [q * vector.size // size for q in range(size + 1)]
        parts = [vector[bounds[q] : bounds[q + 1]] for q in range(size)]
        own = parts[rank]
        inbox = np.empty((size, own.size), vector.dtype)
        self._contributions = [own if q == rank else inbox[q] for q in range(size)]
        self._own = own
        comm = world.comm
        # every rank starts with another partner, so that no one is flooded
        self._others = [(rank + step) % size for step in range(1, size)]
        sends = [comm.Send_init(parts[q], q, SCATTER_TAG) for q in self._others]
        receives = [comm.Recv_init(inbox[q], q, SCATTER_TAG) for q in self._others]
        self._scatter = receives + sends
        sends = [comm.Send_init(own, q, GATHER_TAG) for q in self._others]
        receives = [comm.Recv_init(parts[q], q, GATHER_TAG) for q in self._others]
        self._gather = receives + sends
        self._pending = self._scatter

    def sum_in_place(self) -> None:
        """Replace the vector by its sum over the ranks; see Reduction."""
        self._exchange(self._scatter)
        tree_sum_into(self._contributions)
        if self._contributions[0] is not self._own:
            np.copyto(self._own, self._contributions[0])
        self._exchange(self._gather)

    def close(self) -> None:
        """Free the persistent messages; a second call does nothing."""
        for request in self._scatter + self._gather:
            request.Free()
        self._scatter, self._gather = [], []

    def _exchange(self, requests: list[MPI.Prequest]) -> None:
        if requests:
            self._pending = requests
            MPI.Prequest.Startall(requests)
            self._world.patience.wait_until(self._is_complete, self._describe)

    def _is_complete(self) -> bool:
        return MPI.Request.Testall(self._pending)

    def _describe(self) -> str:
        late = self._partners_of(receives=True) or self._partners_of(receives=False)
        world = self._world
        names = ", ".join(map(world.named, late)) or "its messages"
        return f"rank {world.rank} waits for {names} in the reduction of gradients"

    def _partners_of(self, *, receives: bool) -> list[int]:
        """Return who has not sent, or has not taken, what is pending.

        A large message stays with its sender until the receiver comes into MPI again.
        """
        num = len(self._others)
        requests = self._pending[:num] if receives else self._pending[num:]
        pairs = zip(self._others, requests, strict=True)
        return sorted(partner for partner, request in pairs if not request.Get_status())


class LibraryReduction:
    """Sums ``vector`` by MPI_Allreduce, in whatever order the library likes."""

    def __init__(self, world: World, vector: npt.NDArray[Any]) -> None:
        """Remember ``vector``; see TreeReduction."""
        self._world = world
        self._vector = vector
        self._mark = np.zeros(2, np.int64)

    def sum_in_place(self) -> None:
        """Replace the vector by its sum over the ranks; see Reduction."""
        world = self._world
        if world.size == 1:
            return
        right, left = (world.rank + 1) % world.size, (world.rank - 1) % world.size
        token = world.comm.Irecv([self._mark[:1], 1, MPI.INT64_T], left, TOKEN_TAG)
        sent = world.comm.Isend([self._mark[1:], 1, MPI.INT64_T], right, TOKEN_TAG)
        collective = world.comm.Iallreduce(MPI.IN_PLACE, self._vector, MPI.SUM)
        world.wait_for(collective, token, "gradients are reduced")
        MPI.Request.Waitall([token, sent])

    def close(self) -> None:
        """Nothing is held."""


REDUCTIONS: dict[str, Callable[[World, npt.NDArray[Any]], Reduction]] = {
    "tree": TreeReduction,
    "mpi": LibraryReduction,
}
