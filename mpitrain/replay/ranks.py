"""One simulated rank: what a live rank keeps between its steps, without any traffic."""

from __future__ import annotations

import math
from collections.abc import Callable

from mpitrain.core.batch import Batch
from mpitrain.core.errors import MpitrainError
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update
from mpitrain.plan import Plan, make_update
from mpitrain.running.pieces import Pieces
from mpitrain.schedules.schedule import Schedule

Gradient = Callable[[Batch], float]


class Worker:
    """The optimiser, the gradient and the row of one simulated rank.

    Attributes:
        update: its optimiser, with ``parameters`` and ``gradient``.
        record: the row of its present step.
    """

    def __init__(self, plan: Plan, rank: int) -> None:
        """Allocate what a step needs; the optimiser state is zeros.

        Args:
            plan: of the life.
            rank: of the simulated rank.
        """
        self.rank = rank
        self.update: Update = make_update(plan)
        self.update.age = int(plan.start.position.ages[rank])
        self.record = StepRecord(plan.shards.count)
        self._compute = gradient_of(plan, self.update)

    def begin(self, schedule: Schedule, row: int) -> None:
        """Fill in what the schedule says of a step."""
        record = self.record
        record.clock, record.ticket = int(schedule.clock[row]), int(schedule.ticket[row])
        record.lead = int(schedule.lead[row])
        record.version_read[:] = schedule.read[row]
        record.version_written[:] = schedule.written[row]
        for name, column in schedule.times.items():
            setattr(record, name, float(column[row]))

    def compute(self, batch: Batch) -> None:
        """Compute loss and summed gradient from ``update.parameters``."""
        self.record.num_samples = len(batch.y)
        self.record.loss = self._compute(batch) / self.record.num_samples


def gradient_of(plan: Plan, update: Update) -> Gradient:
    """Return what computes the gradient of a batch as a live rank does: whole or in pieces."""
    layout = plan.model.layout
    parameters, gradient = layout.views(update.parameters), layout.views(update.gradient)
    compute = plan.model.loss_and_gradient
    size = plan.config.data.micro_batch_size
    if size is not None and size < plan.order.batch_size:
        compute = Pieces(plan.model, size, update.gradient).loss_and_gradient
    return lambda batch: compute(parameters, batch, gradient)


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
