"""One life of a replay: its ranks, its logs, its steps and the checkpoint at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import copy_into, to_host
from mpitrain.core.position import Position, Start
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan
from mpitrain.replaying.collective import CollectiveReplay
from mpitrain.replaying.delayed import DelayedReplay
from mpitrain.replaying.place import Place
from mpitrain.replaying.ranks import Worker, workers_in_turn
from mpitrain.replaying.windowed import WindowedReplay
from mpitrain.running.best import Seen
from mpitrain.running.bookkeeping import log_attributes, open_log
from mpitrain.running.checkpoint_content import (
    rank_arrays,
    rank_attributes,
    rank_file,
    state_arrays,
    state_attributes,
)
from mpitrain.running.loader import Loader
from mpitrain.running.log_keeper import LogKeeper
from mpitrain.running.resuming import terms_of
from mpitrain.running.totals import Totals
from mpitrain.schedules.delays import Delays
from mpitrain.schedules.schedule import Schedule
from mpitrain.storage.checkpoint_file import write_checkpoint_file
from mpitrain.storage.checkpoint_mark import MARK, STATE
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.run_directory import RunDirectory

Look = Callable[[int, StepRecord], None]


class AnySchedule(Protocol):
    """What every kind of schedule says: schedules.schedule.Schedule, schedules.delays.Delays."""

    @property
    def size(self) -> int:
        """P, number of ranks."""

    @property
    def rank(self) -> npt.NDArray[np.int64]:
        """(U,), rank of each update."""


class Engine(Protocol):
    """What takes the steps of a schedule."""

    parameters: npt.NDArray[Any]

    @property
    def versions(self) -> npt.NDArray[np.int64]:
        """Version of each shard: (S,), int64."""

    def advance_to(self, version: int) -> bool:
        """Go on until every shard has this version; return whether that was possible."""

    def finish(self) -> bool:
        """Take all steps that are left; return whether that was possible."""


class ReplayedLife:
    """Trains under the schedule of one life, in this process.

    Attributes:
        plan: of the life; ``initial`` is what it starts from.
        workers: its simulated ranks.
        engine: what applies updates.
        totals: of this life, by the schedule's times.
        log: of rank 0, for events.
    """

    def __init__(
        self,
        plan: Plan,
        schedule: AnySchedule,
        directory: RunDirectory,
        run_id: str,
        look: Look,
        *,
        is_whole: bool,
    ) -> None:
        """Open the logs.

        Args:
            plan: of the life.
            schedule: of the life.
            directory: of the replay.
            run_id: of the replay.
            look: told the schedule's row and the record of every step that is done.
            is_whole: the schedule holds every step of its ranks up to its end.
        """
        self._is_whole = is_whole
        self.plan, self._schedule = plan, schedule
        self._directory, self._run_id, self._look = directory, run_id, look
        self.totals = Totals()
        self._now_s = 0.0
        self._num_done = np.zeros(schedule.size, np.int64)
        self._taken: list[int] = []  # tickets, where some may be left out
        self.workers, self.engine = self._made_engine(schedule)
        self._logs = [self._open(rank) for rank in range(schedule.size)]

    @property
    def log(self) -> LogKeeper:
        """The log of rank 0, for events."""
        return self._logs[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the logs, as those of ranks that were cut off where the schedule is not whole."""
        for log in self._logs:
            log.close(is_complete=kind is None and self._is_whole)

    @property
    def parameters(self) -> npt.NDArray[Any]:
        """The present ones: (n,), host."""
        present: npt.NDArray[Any] = to_host(self.engine.parameters)
        return present

    @property
    def can_go_on(self) -> bool:
        """Whether ranks can go on from here: no ticket is left out among those that are taken."""
        start = self.plan.start.position
        if start.share == "equal" or self._is_whole:
            return True
        num, taken = int(self._num_done.sum()), sorted(self._taken)
        first = [start.deal.ticket(start.drawn + index) for index in range(num)]
        return taken == sorted(first)

    def position(self) -> Position:
        """Return where the ranks stand when all shards have the same version."""
        start = self.plan.start.position
        taken = int(self._num_done.sum()) if start.share == "shared" else 0
        version = int(self.engine.versions.min())
        return start.moved(start.clocks + self._num_done, version, start.drawn + taken)

    def write_checkpoint(self, totals: Totals) -> None:
        """Write a checkpoint of all ranks here.

        Args:
            totals: of all lives so far.
        """
        plan, position = self.plan, self.position()
        folder, life = Checkpoints(self._directory.checkpoints), plan.start.life
        path = folder.begin(position.steps)
        arrays, offsets = state_arrays(
            plan.model.layout, self.parameters, position, plan.shards.count
        )
        attributes = state_attributes(
            position, totals, self._run_id, life, terms_of(plan.config), Seen()
        )
        files = {STATE: write_checkpoint_file(path / STATE, attributes, arrays, offsets)}
        for rank in range(self._schedule.size):
            state = self.workers[rank].update.state if rank < len(self.workers) else {}
            name = rank_file(rank)
            files[name] = write_checkpoint_file(
                path / name,
                rank_attributes(position, rank),
                rank_arrays({name: to_host(vector) for name, vector in state.items()}),
            )
        folder.mark_complete(position.steps, life, files, {"run_id": self._run_id})

    def start_of_next(self, position: Position) -> Start:
        """Return the start of the next life, after a checkpoint was written at the end of this one.

        Args:
            position: of the ranks of the next life.
        """
        mine = self.position()
        path, life = Checkpoints(self._directory.checkpoints).path(mine.steps), self.plan.start.life
        return Start(
            life=life + 1,
            position=position,
            checkpoint=path.name,
            checkpoint_sha256=hashlib.sha256((path / MARK).read_bytes()).hexdigest(),
            from_life=life,
            cut=mine.clocks,
        )

    def _made_engine(self, schedule: AnySchedule) -> tuple[list[Worker], Engine]:
        """Return the simulated ranks, as many as have a state of their own, and their engine."""
        plan, tell = self.plan, self._after_step
        load = Loader(plan.source, plan.order, plan.model.layout.dtype, 1, plan.twin.xp).load
        if isinstance(schedule, Schedule) and schedule.is_collective:
            workers = [Worker(plan, 0)]
            return workers, CollectiveReplay(plan, schedule, workers, load, tell)
        if isinstance(schedule, Schedule):
            workers = workers_in_turn(plan, schedule.size)
            return workers, WindowedReplay(plan, schedule, workers, load, tell)
        assert isinstance(schedule, Delays)
        workers = [Worker(plan, rank) for rank in range(schedule.size)]
        return workers, DelayedReplay(plan, schedule, workers, load, tell)

    def _open(self, rank: int) -> LogKeeper:
        place, plan = Place(rank, self._schedule.size), self.plan
        attributes = {
            **log_attributes(place, plan),
            "run_id": self._run_id,
            "window_mechanism": "replay",
            "progress_remedy": "none",
            "device_exchange": "none",
            "clock_error_s": 0.0,
        }
        log = open_log(place, plan, self._directory, attributes)
        return LogKeeper(log, place.speak, lambda: self._now_s, is_needed=False)

    def _after_step(self, row: int, record: StepRecord) -> None:
        ended_s = record.began_s + record.wait_s + record.read_s + record.compute_s + record.write_s
        self._now_s = max(self._now_s, ended_s)
        self.totals.add(record, self._now_s)
        rank = int(self._schedule.rank[row])
        self._num_done[rank] += 1
        if not self._is_whole:
            self._taken.append(record.ticket)
        self._logs[rank].after_step(record, self.totals)
        self._look(row, record)


def carry_over(old: ReplayedLife, new: ReplayedLife) -> None:
    """Give the optimiser states of one life to the next, as a resumed run reads them.

    In synchronous training there is one state. With windows each rank keeps its own where the
    ranks are the same; else each gets the mean over the old ranks, added in their order.
    """
    before, after = old.plan.start.position, new.plan.start.position
    is_same = (before.mode, before.share, before.size) == (after.mode, after.share, after.size)
    for rank, worker in enumerate(new.workers):
        own = [rank] if is_same and before.mode != "bsp" else range(len(old.workers))
        sources = [old.workers[source].update.state for source in own]
        for name, vector in worker.update.state.items():
            copy_into(vector, _mean([to_host(state[name]) for state in sources]))


def _mean(vectors: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the mean of vectors on the host, added in their order: (n,), new."""
    total = vectors[0].copy()
    for vector in vectors[1:]:
        np.add(total, vector, out=total)
    np.divide(total, len(vectors), out=total)
    return total
