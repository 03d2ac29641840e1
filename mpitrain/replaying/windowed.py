"""Training under a schedule of updates to shards, in one process: ssp and asp.

Updates are applied shard by shard in the order of their versions, so that the parameters take the
very values they took on the ranks. Which shard goes first does not matter to any value; a shard
waits where the next update's gradient reads what another shard has not come to yet.

Before a version of a shard is overwritten, everybody who is still to read it does: a gradient is
computed at once, in place, where all shards have just the versions that it reads; else its worker
takes a copy of this shard's. So no version is in memory that nobody reads later, none is copied
twice, and most are not copied at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mpitrain.consistency.staleness import Staleness
from mpitrain.core.arrays import Array, copy_into
from mpitrain.core.batch import Batch
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan
from mpitrain.replaying.ranks import Worker
from mpitrain.schedules.schedule import Schedule

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
        self._add = plan.twin.add
        self.parameters: Array = plan.twin.xp.array(plan.initial)
        self.workers = workers
        self.num_done = 0
        self._schedule, self._load, self._tell = schedule, load, tell
        self._first = schedule.first_version
        count = shards.count
        self._present = [self.parameters[shards.slice(k)] for k in range(count)]
        self._versions = [self._first] * count
        self._rows = [_rows_by_version(schedule, k) for k in range(count)]
        self._readers = [_Readers(schedule.read[:, k] - self._first) for k in range(count)]
        self._staleness = [Staleness(shards.weights()) for _ in workers]
        self._factors = np.ones((len(workers), count))
        self._rank, self._read = schedule.rank.tolist(), schedule.read.tolist()
        self._is_computed = [False] * schedule.num_updates
        self._copied: list[set[int]] = [set() for _ in workers]  # shards, for the next gradient
        self._left = [0] * len(workers)  # shards that the newest gradient is to be applied to
        for worker in workers:
            worker.share(self.parameters)

    @property
    def versions(self) -> npt.NDArray[np.int64]:
        """Version of each shard: (S,), int64."""
        return np.array(self._versions, np.int64)

    def advance_to(self, version: int) -> bool:
        """Apply updates until every shard has this version; return whether that was possible."""
        has_moved = True
        while has_moved:
            has_moved = False
            for shard, present in enumerate(self._versions):
                if present < version and self._apply_next(shard, present):
                    has_moved = True
        return min(self._versions) >= version

    def finish(self) -> bool:
        """Take all steps that are left; return whether that was possible."""
        return self.advance_to(self._schedule.last_version)

    def _apply_next(self, shard: int, version: int) -> bool:
        """Apply the next update of a shard, if its gradient can be computed by now."""
        rows, index = self._rows[shard], version - self._first
        row = rows[index] if index < len(rows) else NO_ROW
        if row == NO_ROW or not (self._is_computed[row] or self._is_computable(row)):
            return False
        if not self._is_computed[row]:
            self._compute(row)
        for reader in self._readers[shard].of(index):
            if not self._is_computed[reader]:
                self._hand_out(shard, reader)
        rank, present = self._rank[row], self._present[shard]
        worker = self.workers[rank]
        tau = self._staleness[rank].of_write(shard, self._read[row][shard], version)
        self._factors[rank, shard] = worker.update.finish_shard(shard, tau, present)
        self._add(present, worker.update.change_of[shard])
        self._versions[shard] = version + 1
        self._left[rank] -= 1
        if not self._left[rank]:
            self._finish(rank, row)
        return True

    def _is_computable(self, row: int) -> bool:
        """Tell whether all that a row reads is there, or was copied for it."""
        return all(map(int.__le__, self._read[row], self._versions))

    def _hand_out(self, shard: int, row: int) -> None:
        """Let a row read the present version of a shard, which is about to be overwritten."""
        rank = self._rank[row]
        if self._read[row] == self._versions and not self._copied[rank]:
            self._compute(row)
        else:
            self._copy(shard, rank)

    def _copy(self, shard: int, rank: int) -> None:
        copy_into(self.workers[rank].update.parameters_of[shard], self._present[shard])
        self._copied[rank].add(shard)

    def _compute(self, row: int) -> None:
        """Compute a row's gradient, and its change as far as nothing depends on what comes later.

        What was not copied for it has the version that it reads still.
        """
        rank = self._rank[row]
        worker, copied = self.workers[rank], self._copied[rank]
        is_in_place = not copied and not worker.update.needs_read
        if not is_in_place:
            for shard in range(len(self._present)):
                if shard not in copied:
                    self._copy(shard, rank)
                worker.update.predict_shard(shard)
        copied.clear()
        worker.begin(self._schedule, row)
        worker.step(self._load(worker.record.ticket), is_in_place=is_in_place)
        self._is_computed[row], self._left[rank] = True, len(self._present)

    def _finish(self, rank: int, row: int) -> None:
        worker, record = self.workers[rank], self.workers[rank].record
        record.note_staleness(self._staleness[rank], self._factors[rank])
        record.update_norm = worker.update.norm()
        self.num_done += 1
        self._tell(row, record)


class _Readers:
    """The rows that read each version of one shard."""

    def __init__(self, versions: npt.NDArray[np.int64]) -> None:
        """Sort the rows by the version that they read: (U,), from 0."""
        self._order: list[int] = np.argsort(versions, kind="stable").tolist()
        counts = np.bincount(versions) if len(versions) else np.zeros(0, np.int64)
        self._ends: list[int] = np.cumsum(counts).tolist()

    def of(self, version: int) -> list[int]:
        """Return the rows that read a version."""
        if version >= len(self._ends):
            return []
        first = self._ends[version - 1] if version else 0
        return self._order[first : self._ends[version]]


def _rows_by_version(schedule: Schedule, shard: int) -> list[int]:
    """Return which row makes each version of a shard, from the first on; NO_ROW for none."""
    index = schedule.written[:, shard] - schedule.first_version - 1
    rows = np.full(int(index.max(initial=-1)) + 1, NO_ROW)
    rows[index] = np.arange(len(index))
    return [int(row) for row in rows]
