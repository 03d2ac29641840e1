"""The start-up probe: what this MPI's windows really do, before training rests on it.

Three questions, answered on the probe shards of the real window, on all ranks together:

* Are reads and writes exact? The first ranks write to one shard a constant vector, many times, and
  read it: each read must be constant and equal its version, and no write may be missing.
* Does a read reach a busy target? One rank reads from ranks that sleep outside MPI. When it takes
  a good part of the sleep, the progress thread is the remedy, and the same is measured again.
* Which way of adding is faster here, MPI_Accumulate or get, add, put?
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from mpitrain.comm.findings import BLOCKED_SHARE, BUSY_S, Findings
from mpitrain.comm.progress import ProgressThread
from mpitrain.comm.window import ACCUMULATE, GET_ADD_PUT, ParameterWindow
from mpitrain.comm.world import World
from mpitrain.core.errors import MpitrainError, agreed

EXACT_WRITES = 10
MOST_WRITERS = 8  # so that starting takes no longer on many ranks
ADD_REPEATS = 9


class WindowProbe:
    """Probes a fresh window; holds the progress thread when one was needed."""

    def __init__(self, world: World, window: ParameterWindow) -> None:
        self._world = world
        self._window = window
        self._thread: ProgressThread | None = None
        num_shards, size = window.shards.count, world.size
        self._shard_of = [num_shards + rank for rank in range(size)]
        self._values = np.zeros(window.layout.probe_length, window.dtype)

    def run(self, progress: str) -> Findings:
        """Check exactness, apply the remedy and choose the mechanism.

        Args:
            progress: "auto" decides by measurement; "none" and "thread" are obeyed.

        Raises:
            MpitrainError: reads or writes are not exact with this MPI.

        Collective: yes.
        """
        self._check_exactness()
        read_s = self._time_of_busy_read()
        if read_s > BLOCKED_SHARE * BUSY_S:  # blocked, or this rank lost its core: look again
            read_s = min(read_s, self._time_of_busy_read())
        is_blocked = read_s > BLOCKED_SHARE * BUSY_S
        can_help = self._world.thread_level == "multiple"
        wants_thread = progress == "thread" or (progress == "auto" and is_blocked and can_help)
        remedied_s = read_s
        if wants_thread and self._world.size > 1:
            self._thread = ProgressThread(self._world)
            remedied_s = self._time_of_busy_read()
        return Findings(
            add_mechanism=self._faster_add(),
            progress="thread" if self._thread else "none",
            read_s=read_s,
            remedied_read_s=remedied_s,
        )

    def close(self) -> None:
        """Stop the progress thread, if any; a second call does nothing.

        Collective: yes.
        """
        if self._thread is not None:
            self._thread.close()
            self._thread = None

    def _check_exactness(self) -> None:
        window, shard = self._window, self._shard_of[0]
        ones = np.ones_like(self._values)
        faults = 0
        self._world.meet("the window is probed for exactness")
        num_writers = min(self._world.size, MOST_WRITERS)
        for _ in range(EXACT_WRITES if self._world.rank < num_writers else 0):
            window.add_in_section(shard, ones)
            version = window.read_into(shard, self._values)
            faults += not np.all(self._values == version)
        self._world.meet("the exactness probe is judged")
        total = window.read_into(shard, self._values)
        faults += total != EXACT_WRITES * num_writers
        if any(self._world.gather_obj(faults)):
            message = (
                f"windows of {self._world.library} are not exact: reads were torn or writes lost; "
                "use another MPI, or mode.kind=bsp, which needs no window"
            )
            raise agreed(MpitrainError(message))

    def _time_of_busy_read(self) -> float:
        """Return the longest read from a target on this host and from one on another."""
        return max((self._time_read_from(target) for target in self._targets()), default=0.0)

    def _targets(self) -> list[int]:
        hosts = self._world.hosts
        same = [rank for rank in range(1, len(hosts)) if hosts[rank] == hosts[0]]
        other = [rank for rank in range(1, len(hosts)) if hosts[rank] != hosts[0]]
        return same[:1] + other[:1]

    def _time_read_from(self, target: int) -> float:
        self._world.meet("a read from a busy rank is timed")
        began = time.perf_counter()
        if self._world.is_root:
            time.sleep(BUSY_S / 10)  # let the others become busy
            began = time.perf_counter()
            self._window.read_into(self._shard_of[target], self._values)
        else:
            time.sleep(BUSY_S)
        taken_s = time.perf_counter() - began
        return float(self._world.gather_obj(taken_s)[0])

    def _faster_add(self) -> str:
        """Time both ways of adding, all ranks at once as in training; the faster one on the whole.

        Every rank adds to its right neighbour's shard. The first adds of each way are slow: pages
        are touched, connections made.
        """
        window, world = self._window, self._world
        shard = self._shard_of[(world.rank + 1) % world.size]
        times: dict[str, float] = {}
        self._values[:] = 0
        for mechanism in (ACCUMULATE, GET_ADD_PUT):
            window.add_mechanism = mechanism
            world.meet("ways of adding are timed")
            mine = statistics.median(self._time_add(shard) for _ in range(ADD_REPEATS))
            times[mechanism] = sum(world.gather_obj(mine))
        window.add_mechanism = min(times, key=lambda mechanism: times[mechanism])
        return window.add_mechanism

    def _time_add(self, shard: int) -> float:
        began = time.perf_counter()
        self._window.add_in_section(shard, self._values)
        return time.perf_counter() - began
