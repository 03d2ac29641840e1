"""A discrete-event simulator of training on many ranks: who reads and writes when; pure.

One step of one rank is that of live training (modes/window.py): wait until the rule lets it start,
read the shards one after the other from its own starting point, compute, write the shards one after
the other, advance the clock. The rules and the dealing of tickets are the objects that live ranks
use. A read sees what was written until its end; an owner serves one write at a time, in the order
of their arrival, where ``service_s`` says that this takes time.

Reads change nothing that others wait for, so they are no events: which versions they see follows
from the times of all writes afterwards. So a step costs two events, one more if there is time
between steps, and one per write if writes have to be served.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.consistency.rules import Rule
from mpitrain.core.shards import Shards
from mpitrain.schedules.schedule import Counts, Schedule

Times = npt.NDArray[np.float64]
NextSeconds = Callable[[int], float]  # clock -> seconds
COMPUTED, ARRIVED, DONE, READY = range(4)  # what happens at the same time, in this order


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a step costs beside computing, in seconds.

    Attributes:
        read_s: to read one shard, without waiting.
        write_s: to write one shard, without waiting.
        service_s: of ``write_s``, for which the shard's owner can serve nobody else.
        overhead_s: between two steps.
        collective_s: of the reduction of one step, from the last rank's arrival (bsp).
    """

    read_s: float = 0.0
    write_s: float = 0.0
    service_s: float = 0.0
    overhead_s: float = 0.0
    collective_s: float = 0.0


class Dealing:
    """Who takes which ticket: ``consistency.work.Work`` of a new run, for simulated ranks."""

    def __init__(
        self,
        is_left: Callable[[int, int], bool],
        take: Callable[[int, int, Callable[[], int]], int | None],
    ) -> None:
        """Deal by two methods of a ``Work``."""
        self._is_left, self._take = is_left, take
        self._num_drawn = 0

    def next(self, clock: int, rank: int) -> int | None:
        """Return the next ticket of ``rank``; None when there is no work left for it."""
        if not self._is_left(clock, self._num_drawn):
            return None
        return self._take(clock, rank, self._draw)

    def _draw(self) -> int:
        self._num_drawn += 1
        return self._num_drawn - 1


def simulate_collective(
    size: int,
    num_clocks: int,
    num_shards: int,
    compute: Sequence[NextSeconds],
    ticket: Callable[[int, int], int],
    costs: Costs,
) -> Schedule:
    """Return the schedule of a synchronous run: everybody waits for the slowest in each step.

    Args:
        size: P, ranks.
        num_clocks: steps of each.
        num_shards: S.
        compute: of each rank, seconds of the step at a clock.
        ticket: (clock, rank) -> ticket.
        costs: of a step.
    """
    computed = np.array([[compute[p](c) for c in range(num_clocks)] for p in range(size)])
    computed = computed.reshape(size, num_clocks)
    longest = computed.max(axis=0, initial=0.0)
    step_s = longest + costs.collective_s + costs.overhead_s
    began = np.concatenate([[0.0], np.cumsum(step_s)[:-1]]) if num_clocks else np.zeros(0)
    rank = np.repeat(np.arange(size), num_clocks)
    clock = np.tile(np.arange(num_clocks), size)
    read = np.repeat(clock[:, np.newaxis], num_shards, axis=1)
    zeros = np.zeros(size * num_clocks)
    return Schedule(
        is_collective=True,
        size=size,
        rank=rank,
        clock=clock,
        ticket=np.array([ticket(c, p) for p in range(size) for c in range(num_clocks)], np.int64),
        read=read,
        written=read + 1,
        lead=np.zeros(size * num_clocks, np.int64),
        times={
            "began_s": np.tile(began, size),
            "wait_s": (longest + costs.collective_s - computed).ravel(),
            "read_s": zeros,
            "compute_s": computed.ravel(),
            "write_s": zeros,
        },
    )


def simulate_windowed(
    shards: Shards,
    rule: Rule,
    dealing: Dealing,
    compute: Sequence[NextSeconds],
    costs: Costs,
) -> Schedule:
    """Return the schedule of a bounded or asynchronous run.

    Args:
        shards: cut of the parameters, over P ranks.
        rule: who may start.
        dealing: who takes which ticket.
        compute: of each rank, seconds of the step at a clock, > 0.
        costs: of a step.
    """
    return _Events(shards, rule, dealing, compute, costs).run()


class _Events:
    """The simulation under way."""

    def __init__(
        self,
        shards: Shards,
        rule: Rule,
        dealing: Dealing,
        compute: Sequence[NextSeconds],
        costs: Costs,
    ) -> None:
        size = shards.num_ranks
        self._shards, self._rule, self._dealing = shards, rule, dealing
        self._compute, self._costs, self._size = compute, costs, size
        self._clocks = [0] * size
        self._num_at = [size]  # ranks with work at each clock
        self._slowest = 0
        self._num_working = size
        self._since = [0.0] * size  # when each rank was ready for its step
        self._waiting: list[int] = []
        self._heap: list[tuple[float, int, int]] = []
        self._free = [0.0] * size  # when each owner can serve again
        self._step = [0] * size  # of its walk that each rank writes next
        count = shards.count
        self._walks = [self._walk(rank) for rank in range(size)]
        self._owners = [shards.owner(shard) for shard in range(count)]
        # one entry per step, in the order of starts
        self._rank: list[int] = []
        self._tickets: list[int] = []
        self._leads: list[int] = []
        self._began: list[float] = []
        self._started: list[float] = []
        self._computed_s: list[float] = []
        self._written: list[float] = []  # when each shard was, in the rank's walk
        self._ended: list[float] = []
        self._row = [0] * size  # the present step of each rank

    def run(self) -> Schedule:
        """Simulate to the end."""
        for rank in range(self._size):
            self._ready(rank, 0.0)
        heap = self._heap
        while heap:
            now, kind, rank = heapq.heappop(heap)
            if kind == COMPUTED:
                self._begin_writing(rank, now)
            elif kind == ARRIVED:
                self._serve(rank, now)
            elif kind == DONE:
                self._advance(rank, now)
            else:
                self._ready(rank, now)
        return self._schedule()

    def _walk(self, rank: int) -> list[int]:
        count = self._shards.count
        first = rank * count // self._size
        return [(first + step) % count for step in range(count)]

    def _ready(self, rank: int, now: float) -> None:
        """A rank wants to start its next step."""
        self._since[rank] = now
        if self._rule.may_start(self._clocks[rank], self._slowest):
            self._start(rank, now)
        else:
            self._waiting.append(rank)

    def _start(self, rank: int, now: float) -> None:
        clock = self._clocks[rank]
        ticket = self._dealing.next(clock, rank)
        if ticket is None:
            self._leave(rank, now)
            return
        compute_s = self._compute[rank](clock)
        self._row[rank] = len(self._rank)
        self._rank.append(rank)
        self._tickets.append(ticket)
        self._leads.append(clock - self._slowest)
        self._began.append(self._since[rank])
        self._started.append(now)
        self._computed_s.append(compute_s)
        self._ended.append(0.0)
        done_s = now + self._shards.count * self._costs.read_s + compute_s
        heapq.heappush(self._heap, (done_s, COMPUTED, rank))

    def _begin_writing(self, rank: int, now: float) -> None:
        """Write all shards, one after the other: at once where nobody has to wait for an owner."""
        row, count, costs = self._row[rank], self._shards.count, self._costs
        if len(self._written) < (row + 1) * count:
            self._written.extend([0.0] * ((row + 1) * count - len(self._written)))
        if costs.service_s:
            self._step[rank] = 0
            heapq.heappush(self._heap, (now + costs.write_s - costs.service_s, ARRIVED, rank))
            return
        for shard in self._walks[rank]:
            now += costs.write_s
            self._written[row * count + shard] = now
        heapq.heappush(self._heap, (now, DONE, rank))

    def _serve(self, rank: int, now: float) -> None:
        """A write has arrived at a shard's owner: it is served when those before it are."""
        costs, step = self._costs, self._step[rank]
        shard = self._walks[rank][step]
        owner = self._owners[shard]
        now = max(now, self._free[owner]) + costs.service_s
        self._free[owner] = now
        self._written[self._row[rank] * self._shards.count + shard] = now
        self._step[rank] = step + 1
        if step + 1 < self._shards.count:
            heapq.heappush(self._heap, (now + costs.write_s - costs.service_s, ARRIVED, rank))
        else:
            heapq.heappush(self._heap, (now, DONE, rank))

    def _advance(self, rank: int, now: float) -> None:
        self._ended[self._row[rank]] = now
        clock = self._clocks[rank] + 1
        self._clocks[rank] = clock
        self._num_at[clock - 1] -= 1
        if clock == len(self._num_at):
            self._num_at.append(0)
        self._num_at[clock] += 1
        self._move_slowest(now)
        if self._costs.overhead_s:
            heapq.heappush(self._heap, (now + self._costs.overhead_s, READY, rank))
        else:
            self._ready(rank, now)

    def _leave(self, rank: int, now: float) -> None:
        """A rank has no work left: nobody waits for it any more."""
        self._num_at[self._clocks[rank]] -= 1
        self._num_working -= 1
        self._move_slowest(now)

    def _move_slowest(self, now: float) -> None:
        before = self._slowest
        while self._num_working and not self._num_at[self._slowest]:
            self._slowest += 1
        if self._slowest == before or not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for rank in waiting:
            self._wake(rank, now)

    def _wake(self, rank: int, now: float) -> None:
        if self._rule.may_start(self._clocks[rank], self._slowest):
            self._start(rank, now)
        else:
            self._waiting.append(rank)

    def _schedule(self) -> Schedule:
        costs, count = self._costs, self._shards.count
        num = len(self._rank)
        rank = np.array(self._rank, np.int64)
        order = np.argsort(rank, kind="stable")
        rank = rank[order]
        firsts = np.searchsorted(rank, np.arange(self._size))
        started = np.array(self._started)[order]
        written_s = np.array(self._written).reshape(num, count)[order]
        computed_s = np.array(self._computed_s)[order]
        began, ended = np.array(self._began)[order], np.array(self._ended)[order]
        read_s = count * costs.read_s
        walks = np.array(self._walks)
        steps = np.empty_like(walks)  # when in its walk each rank comes to a shard
        np.put_along_axis(steps, walks, np.arange(count)[np.newaxis, :], axis=1)
        seen_s = started[:, np.newaxis] + (steps[rank] + 1) * costs.read_s
        read, made = versions_of(seen_s, written_s)
        return Schedule(
            is_collective=False,
            size=self._size,
            rank=rank,
            clock=np.arange(num) - firsts[rank],
            ticket=np.array(self._tickets, np.int64)[order],
            read=read,
            written=made,
            lead=np.array(self._leads, np.int64)[order],
            times={
                "began_s": began,
                "wait_s": started - began,
                "read_s": np.full(num, read_s),
                "compute_s": computed_s,
                "write_s": ended - started - read_s - computed_s,
            },
        )


def versions_of(seen_s: Times, written_s: Times) -> tuple[Counts, Counts]:
    """Return the version that each read sees and that each write makes.

    Args:
        seen_s: (U, S), when each row read each shard.
        written_s: (U, S), when it wrote it; equal times are in the order of the rows.

    Returns:
        (U, S) int64 each; what is written at the very time of a read is seen.
    """
    read, made = (np.empty(seen_s.shape, np.int64) for _ in range(2))
    for shard in range(seen_s.shape[1]):
        order = np.argsort(written_s[:, shard], kind="stable")
        made[order, shard] = np.arange(1, len(order) + 1)
        times = written_s[order, shard]
        read[:, shard] = np.searchsorted(times, seen_s[:, shard], side="right")
    return read, made
