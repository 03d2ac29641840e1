"""One time base for all ranks: seconds since the run's common zero, corrected between hosts.

Ranks of one host share the monotonic clock. One rank of every other host exchanges messages with
rank 0; half the shortest round trip bounds the error of its offset.
"""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

from mpitrain.comm.world import World

PING_TAG = 4
ROUNDS = 20


class HostClock:
    """The common clock, seen from one rank.

    Attributes:
        error_s: bound on this rank's error against rank 0 at the start, seconds; 0 on rank 0's
            host. Clocks drift apart after that, by some microseconds a second.
    """

    def __init__(self, world: World) -> None:
        """Agree on zero and measure offsets.

        Collective: yes.
        """
        offset_s, self.error_s = _offset_to_root(world)
        root_zero_s: float = world.comm.bcast(time.perf_counter(), root=0)
        self._zero_s = root_zero_s + offset_s

    def now(self) -> float:
        """Return seconds since the common zero."""
        return time.perf_counter() - self._zero_s


def _offset_to_root(world: World) -> tuple[float, float]:
    """Return (this host's clock minus rank 0's, its error bound), seconds."""
    world.meet("clocks of the hosts are compared")
    leaders = {host: rank for rank, host in reversed(list(enumerate(world.hosts)))}
    found: dict[str, tuple[float, float]] = {world.hosts[0]: (0.0, 0.0)}
    for host, leader in leaders.items():
        if leader == 0:
            continue
        if world.is_root:
            found[host] = _ask(world.comm, leader)
        elif world.rank == leader:
            _answer(world.comm)
    found = world.comm.bcast(found, root=0)
    return found[world.host]


def _ask(comm: MPI.Intracomm, leader: int) -> tuple[float, float]:
    remote = np.zeros(1)
    trips: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        sent_s = time.perf_counter()
        comm.Send(remote, leader, PING_TAG)
        comm.Recv(remote, leader, PING_TAG)
        received_s = time.perf_counter()
        offset_s = float(remote[0]) - (sent_s + received_s) / 2
        trips.append(((received_s - sent_s) / 2, offset_s))
    error_s, offset_s = min(trips)
    return offset_s, error_s


def _answer(comm: MPI.Intracomm) -> None:
    local = np.zeros(1)
    for _ in range(ROUNDS):
        comm.Recv(local, 0, PING_TAG)
        local[0] = time.perf_counter()
        comm.Send(local, 0, PING_TAG)
