"""Training under random delays between workers that each have a copy of their own, in one process.

See ``schedules.delays`` for the model. Arrivals are added in order of tick, then worker, so that
copies that know the same updates hold the same bits where no update overtook another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, copy_into
from mpitrain.models.stacked import StackedLayers, stack_of
from mpitrain.plan import Plan
from mpitrain.replaying.ranks import Worker, check_good
from mpitrain.replaying.windowed import Load, Tell
from mpitrain.schedules.delays import Delays, arrivals

MOST_STACKED = 1 << 18  # parameters of all copies that are computed at once: they fit a cache


class DelayedReplay:
    """P workers, their copies, and the updates under way.

    Attributes:
        parameters: (n,), the copy of worker 0; ``settle`` lets everything arrive there.
        workers: each with its copy in ``update.parameters``.
        num_done: steps of all workers that are done.
    """

    def __init__(
        self, plan: Plan, delays: Delays, workers: Sequence[Worker], load: Load, tell: Tell
    ) -> None:
        """Start all copies from ``plan.initial``.

        Args:
            plan: of the run; equal shares.
            delays: when updates arrive.
            workers: one per worker of ``delays``.
            load: ticket -> batch, valid until the next call.
            tell: takes the row (tick x P + worker) and the record of each step that is done.
        """
        self.workers = workers
        self.num_done = 0
        self._plan, self._delays, self._load, self._tell = plan, delays, load, tell
        for worker in workers:
            copy_into(worker.update.parameters, plan.initial)
        self.parameters = workers[0].update.parameters
        self._under_way: dict[tuple[int, int], Array] = {}
        self._copies_left: dict[tuple[int, int], int] = {}
        self._free: list[Array] = []
        self._tick = 0
        self._since = 0  # first tick with an update under way
        # updates of all workers, and of each worker itself, that each copy knows of
        self._known = np.zeros(len(workers), np.int64)
        self._own_known = np.zeros(len(workers), np.int64)
        self.most_kept = 0
        size, source, layout = len(workers), plan.source, plan.model.layout
        # one worker alone is to be plain SGD to the bit
        self._xp = plan.twin.xp
        is_small = self._xp is np and size > 1 and size * layout.size <= MOST_STACKED
        is_whole = plan.config.data.micro_batch_size is None
        self._stack = stack_of(plan.model, size) if is_small and is_whole else None
        shape = (size, plan.order.batch_size) if self._stack is not None else (0, 0)
        self._x = np.empty((*shape, *source.sample_shape), layout.dtype)
        self._y = np.empty(shape, np.int64)

    @property
    def versions(self) -> npt.NDArray[np.int64]:
        """Updates that worker 0's copy knows of, for every shard: (S,), int64."""
        return np.full(self._plan.shards.count, self._known[0], np.int64)

    def advance_to(self, tick: int) -> bool:
        """Go on until this many ticks are done; return whether that was possible."""
        while self._tick < min(tick, self._delays.num_ticks):
            self._arrive()
            self._compute()
            for worker in self.workers:
                self._step(worker)
            self._tick += 1
        return self._tick >= tick

    def finish(self) -> bool:
        """Take all steps that are left and let all updates arrive; return True."""
        is_done = self.advance_to(self._delays.num_ticks)
        self.settle()
        return is_done

    def settle(self) -> None:
        """Let all updates arrive, after the last tick."""
        while self._under_way:
            self._tick = self._next_arrival()
            self._arrive()
            self._tick += 1

    def _next_arrival(self) -> int:
        """Return the next tick at which something arrives, after the last tick with a step."""
        ticks = self._delays.ticks[self._since :]
        due = ticks + np.arange(self._since, len(self._delays.ticks))[:, np.newaxis, np.newaxis] + 1
        return int(due[due >= self._tick].min())

    def _arrive(self) -> None:
        """Add to each copy what arrives at the beginning of this tick."""
        for tick, source, readers in arrivals(self._delays, self._tick, self._since):
            key = tick, source
            change = self._under_way[key]
            for reader in readers:
                parameters = self.workers[reader].update.parameters
                self._plan.twin.add(parameters, change)
                self._known[reader] += 1
                self._own_known[reader] += reader == source
            self._copies_left[key] -= len(readers)
            if not self._copies_left[key]:
                self._free.append(self._under_way.pop(key))
                del self._copies_left[key]
        self._since = min((tick for tick, _ in self._under_way), default=self._tick)

    def _compute(self) -> None:
        """Compute the gradients of all workers, at once where the model is known to allow it."""
        first = self._tick * len(self.workers)
        if self._stack is not None and self._is_full(first):
            self._compute_stacked(self._stack, first)
            return
        for worker in self.workers:
            worker.compute(self._load(first + worker.rank))

    def _is_full(self, first: int) -> bool:
        """Tell whether all mini-batches of a tick have the same length."""
        order = self._plan.order
        tickets = range(first, first + len(self.workers))
        return all(order.num_samples_of(ticket) == self._y.shape[1] for ticket in tickets)

    def _compute_stacked(self, stack: StackedLayers, first: int) -> None:
        for worker in self.workers:
            batch = self._load(first + worker.rank)
            np.copyto(self._x[worker.rank], batch.x)
            np.copyto(self._y[worker.rank], batch.y)
            np.copyto(stack.parameters[worker.rank], worker.update.parameters)
        losses = stack.compute(self._x, self._y)
        for worker, loss in zip(self.workers, losses.tolist(), strict=True):
            np.copyto(worker.update.gradient, stack.gradients[worker.rank])
            worker.record.num_samples = self._y.shape[1]
            worker.record.loss = loss / self._y.shape[1]

    def _step(self, worker: Worker) -> None:
        record, update, size = worker.record, worker.update, len(self.workers)
        record.clock, record.ticket = self._tick, self._tick * size + worker.rank
        record.began_s = float(self._tick)
        is_good = update.begin(record, record.num_samples, record.ticket)
        check_good(worker, is_good=is_good)
        update.compute()
        record.update_norm = update.norm()
        own = self._tick - int(self._own_known[worker.rank])
        record.own_missing = own
        record.staleness_max = self._tick * size - int(self._known[worker.rank]) - own
        record.staleness_mean = float(record.staleness_max)
        key = self._tick, worker.rank
        copy = self._free.pop() if self._free else self._xp.empty_like(update.change)
        copy_into(copy, update.change)
        self._under_way[key], self._copies_left[key] = copy, size
        self.most_kept = max(self.most_kept, len(self._under_way))
        self.num_done += 1
        self._tell(self._tick * size + worker.rank, record)
