"""Training under a schedule of updates to shards, in one process: ssp and asp.

A gradient is computed when its first update is about to be applied: then every version that it
reads has been there, and is there still (see versions.py). Updates are applied shard by shard in
the order of their versions, so that the parameters take the very values they took on the ranks.
Which shard goes first does not matter to any value; a shard waits where the next update's gradient
reads what another shard has not come to yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.consistency.staleness import Staleness
from mpitrain.core.batch import Batch
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan
from mpitrain.replay.ranks import Worker, check_good
from mpitrain.replay.versions import Versions
from mpitrain.schedules.schedule import Schedule

Vector = npt.NDArray[Any]
Load = Callable[[int], Batch]
Tell = Callable[[int, StepRecord], None]

NO_ROW = -1


class WindowedReplay:
    """Applies the updates of a schedule.

    Attributes:
        parameters: (n,), the present ones.
        workers: one per rank.
        num_done: updates applied to every shard.
    """

    def __init__(
        self, plan: Plan, schedule: Schedule, workers: Sequence[Worker], load: Load, tell: Tell
    ) -> None:
        """Start from ``plan.initial``.

        Args:
            plan: of the life.
            schedule: who reads what, and in which order updates apply.
            workers: one per rank of the schedule.
            load: ticket -> batch, valid until the next call.
            tell: takes the row of the schedule and the record of each step that is done.
        """
        shards = plan.shards
        self.parameters = plan.initial.copy()
        self.workers = workers
        self.num_done = 0
        self._schedule, self._load, self._tell = schedule, load, tell
        first = schedule.first_version
        self._shards = [
            Versions(self.parameters[shards.slice(k)], schedule.read[:, k], first)
            for k in range(shards.count)
        ]
        self._rows = [_rows_by_version(schedule, k) for k in range(shards.count)]
        self._versions = np.full(shards.count, first, np.int64)
        self._staleness = [Staleness(shards.weights()) for _ in workers]
        self._factors = np.ones((len(workers), shards.count))
        self._rank = schedule.rank.tolist()
        self._read = schedule.read.tolist()
        self._row_of = [NO_ROW] * len(workers)  # whose gradient each worker holds
        self._left = [0] * len(workers)  # shards that it is still to be applied to

    @property
    def versions(self) -> npt.NDArray[np.int64]:
        """Version of each shard: (S,), int64."""
        return self._versions.copy()

    @property
    def most_kept(self) -> int:
        """The most old versions of one shard that were in memory at a time."""
        return max(shard.most_kept for shard in self._shards)

    def advance_to(self, version: int) -> bool:
        """Apply updates until every shard has this version; return whether that was possible."""
        has_moved = True
        while has_moved:
            has_moved = False
            for number, shard in enumerate(self._shards):
                while shard.version < version and self._apply_next(number, shard):
                    has_moved = True
        return bool((self._versions >= version).all())

    def _apply_next(self, number: int, shard: Versions) -> bool:
        """Apply the next update of a shard, if its gradient can be computed by now."""
        rows = self._rows[number]
        index = shard.version - self._schedule.first_version
        row = int(rows[index]) if index < len(rows) else NO_ROW
        if row == NO_ROW:
            return False
        rank = self._rank[row]
        if self._row_of[rank] != row and not self._compute(rank, row):
            return False
        worker, staleness = self.workers[rank], self._staleness[rank]
        tau = staleness.of_write(number, self._read[row][number], shard.version)
        self._factors[rank, number] = worker.update.finish_shard(number, tau, shard.present)
        shard.add(worker.update.change_of[number])
        self._versions[number] = shard.version
        self._left[rank] -= 1
        if not self._left[rank]:
            self._finish(rank, row)
        return True

    def _compute(self, rank: int, row: int) -> bool:
        """Compute a row's gradient, unless something that it reads is not there yet."""
        if self._left[rank] or (self._schedule.read[row] > self._versions).any():
            return False
        worker, update = self.workers[rank], self.workers[rank].update
        for number, (shard, version) in enumerate(zip(self._shards, self._read[row], strict=True)):
            shard.read_into(version, update.parameters_of[number])
            update.predict_shard(number)
        worker.begin(self._schedule, row)
        record = worker.record
        worker.compute(self._load(record.ticket))
        is_good = update.begin(record, record.num_samples, record.ticket)
        check_good(worker, is_good=is_good)
        if not update.needs_present:
            update.compute()
        self._row_of[rank], self._left[rank] = row, len(self._shards)
        return True

    def _finish(self, rank: int, row: int) -> None:
        worker, staleness = self.workers[rank], self._staleness[rank]
        record = worker.record
        record.staleness_mean = staleness.mean
        record.staleness_max = staleness.largest
        record.own_missing = int(staleness.own_missing.max())
        record.factor = float(staleness.weights @ self._factors[rank])
        record.update_norm = worker.update.norm()
        self.num_done += 1
        self._tell(row, record)


def _rows_by_version(schedule: Schedule, shard: int) -> npt.NDArray[np.int64]:
    """Return which row makes each version of a shard, from the first on; NO_ROW for none."""
    index = schedule.written[:, shard] - schedule.first_version - 1
    rows = np.full(int(index.max(initial=-1)) + 1, NO_ROW)
    rows[index] = np.arange(len(index))
    return rows
