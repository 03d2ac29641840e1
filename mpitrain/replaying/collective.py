"""Training under the schedule of a synchronous run, in one process.

The ranks' gradients are summed in the tree's order while they are computed, so that as many partial
sums are in memory as the tree has levels, not as there are ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, copy_into, module_of
from mpitrain.kernels.twins import Twin
from mpitrain.plan import Plan
from mpitrain.replaying.ranks import Worker, check_good
from mpitrain.replaying.windowed import Load, Tell
from mpitrain.schedules.schedule import Schedule


class CollectiveReplay:
    """Applies the updates of a schedule; all ranks have the first worker's optimiser state.

    Attributes:
        parameters: (n,), the present ones.
        workers: one per rank; only the first computes.
        num_done: steps of all ranks that are done.
    """

    def __init__(
        self, plan: Plan, schedule: Schedule, workers: Sequence[Worker], load: Load, tell: Tell
    ) -> None:
        """Start from ``plan.initial``; arguments as ``WindowedReplay``."""
        self.workers = workers
        self.num_done = 0
        self._plan, self._schedule, self._load, self._tell = plan, schedule, load, tell
        self._worker = workers[0]
        self.parameters = self._worker.update.parameters
        copy_into(self.parameters, plan.initial)
        self._version = schedule.first_version
        self._rows = np.lexsort((schedule.rank, schedule.clock)).reshape(-1, schedule.size)
        self._sum = TreeSum(self._worker.update.gradient, plan.twin)

    @property
    def versions(self) -> npt.NDArray[np.int64]:
        """Version of each shard: (S,), int64."""
        return np.full(self._plan.shards.count, self._version, np.int64)

    def advance_to(self, version: int) -> bool:
        """Take steps until the parameters have this version; return whether that was possible."""
        first = self._schedule.first_version
        while self._version < version and self._version - first < len(self._rows):
            self._step(self._rows[self._version - first].tolist())
            self._version += 1
        return self._version >= version

    def finish(self) -> bool:
        """Take all steps that are left; return whether that was possible."""
        return self.advance_to(self._schedule.last_version)

    def _step(self, rows: Sequence[int]) -> None:
        worker, update, losses = self._worker, self._worker.update, []
        for row in rows:
            worker.begin(self._schedule, row)
            worker.compute(self._load(worker.record.ticket))
            losses.append((worker.record.loss, worker.record.num_samples))
            self._sum.add()
        self._sum.finish()
        worker.begin(self._schedule, rows[0])
        num_samples = sum(num for _, num in losses)
        is_good = update.begin(worker.record, num_samples, worker.record.ticket)
        for worker.record.loss, _ in losses:
            check_good(worker, is_good=is_good)
        update.apply()
        worker.record.update_norm = update.norm()
        for row, (loss, num) in zip(rows, losses, strict=True):
            worker.begin(self._schedule, row)
            worker.record.loss, worker.record.num_samples = loss, num
            self.num_done += 1
            self._tell(row, worker.record)


class TreeSum:
    """Adds vectors in the order of ``core.tree`` as they come.

    What is waiting is a row of sums over ever fewer neighbours, as the digits of a binary counter.
    """

    def __init__(self, vector: Array, twin: Twin) -> None:
        """Sum what is in ``vector`` whenever ``add`` is called; the result goes there too."""
        self._vector, self._add = vector, twin.add
        self._sums: list[tuple[int, Array]] = []  # level, sum
        self._free: list[Array] = []

    def add(self) -> None:
        """Take the vector's present values as the next rank's."""
        copy = self._free.pop() if self._free else module_of(self._vector).empty_like(self._vector)
        copy_into(copy, self._vector)
        level = 0
        while self._sums and self._sums[-1][0] == level:
            copy, level = self._joined(copy), level + 1
        self._sums.append((level, copy))

    def finish(self) -> None:
        """Put the sum of everything into the vector, and begin anew."""
        copy = self._sums.pop()[1]
        while self._sums:
            copy = self._joined(copy)
        copy_into(self._vector, copy)
        self._free.append(copy)

    def _joined(self, right: Array) -> Array:
        left = self._sums.pop()[1]
        self._add(left, right)
        self._free.append(right)
        return left
