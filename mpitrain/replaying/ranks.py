"""One simulated rank: what a live rank keeps between its steps, without any traffic."""

from __future__ import annotations

import math
from collections.abc import Callable

from mpitrain.core.arrays import Array
from mpitrain.core.batch import Batch
from mpitrain.core.errors import MpitrainError
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update
from mpitrain.plan import Plan, make_update
from mpitrain.running.pieces import Pieces
from mpitrain.schedules.schedule import Schedule


class Worker:
    """The optimiser, the gradient and the row of one simulated rank.

    Attributes:
        rank: of the simulated rank.
        update: its optimiser, with ``parameters`` and ``gradient``.
        record: the row of its present step.
    """

    def __init__(self, plan: Plan, rank: int, gradient: Array | None = None) -> None:
        """Allocate what a step needs; the optimiser state is zeros.

        Args:
            plan: of the life.
            rank: of the simulated rank.
            gradient: see Update.
        """
        self.rank = rank
        self.update: Update = make_update(plan, gradient)
        self.update.age = int(plan.start.position.ages[rank])
        self.record = StepRecord(plan.shards.count)
        self._plan = plan
        self._gradient = plan.model.layout.views(self.update.gradient)
        self._own = plan.model.layout.views(self.update.parameters)
        self._shared = self._own
        self._compute = _gradient_of(plan, self.update)

    def share(self, parameters: Array) -> None:
        """Compute gradients in place from ``parameters``, (n,), where ``step`` is asked to."""
        self.update.read_from(parameters)
        self._shared = self._plan.model.layout.views(parameters)

    def begin(self, schedule: Schedule, row: int) -> None:
        """Fill in what the schedule says of a step."""
        record = self.record
        record.clock, record.ticket = int(schedule.clock[row]), int(schedule.ticket[row])
        record.lead = int(schedule.lead[row])
        record.version_read[:] = schedule.read[row]
        record.version_written[:] = schedule.written[row]
        for name, column in schedule.times.items():
            setattr(record, name, float(column[row]))

    def compute(self, batch: Batch, *, is_in_place: bool = False) -> None:
        """Compute loss and summed gradient.

        Args:
            batch: of this step.
            is_in_place: from the shared parameters, not from ``update.parameters``.
        """
        parameters = self._shared if is_in_place else self._own
        self.record.num_samples = len(batch.y)
        self.record.loss = self._compute(parameters, batch, self._gradient) / len(batch.y)

    def step(self, batch: Batch, *, is_in_place: bool) -> None:
        """Compute the gradient and, where no present values are needed, the change.

        Raises:
            MpitrainError: loss or gradient is not finite.
        """
        self.compute(batch, is_in_place=is_in_place)
        record, update = self.record, self.update
        check_good(self, is_good=update.begin(record, record.num_samples, record.ticket))
        if not update.needs_present:
            update.compute(is_elsewhere=is_in_place)


def workers_in_turn(plan: Plan, size: int) -> list[Worker]:
    """Return ``size`` workers that each make a gradient into a change before the next one begins.

    They share the gradient's memory, which so stays in the cache, unless a compensation needs the
    gradient as long as the present values are not there.
    """
    first = Worker(plan, 0)
    gradient = None if first.update.needs_present else first.update.gradient
    return [first, *(Worker(plan, rank, gradient) for rank in range(1, size))]


def _gradient_of(plan: Plan, update: Update) -> Callable[..., float]:
    """Return what computes the gradient of a batch as a live rank does: whole or in pieces."""
    size = plan.config.data.micro_batch_size
    if size is not None and size < plan.order.batch_size:
        return Pieces(plan.model, size, update.gradient).loss_and_gradient
    return plan.model.loss_and_gradient


def check_good(worker: Worker, *, is_good: bool) -> None:
    """Check that an update may be applied.

    Raises:
        MpitrainError: loss or gradient is not finite, as can be when something was changed.
    """
    record = worker.record
    if is_good and math.isfinite(record.loss):
        return
    message = (
        f"rank {worker.rank}: at clock {record.clock}, ticket {record.ticket}, the loss is "
        f"{record.loss:g} and the norm of the gradient {record.gradient_norm:g}: the run diverges"
    )
    raise MpitrainError(message)
