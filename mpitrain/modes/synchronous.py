"""Bulk synchronous training: one reduction per step, the same update on every rank.

Every rank computes the summed gradient of its part of the global batch. The sums are added over
the ranks and divided by the number of samples of the whole batch; every rank then applies the
same update to its own copy of the parameters, so the copies stay equal bit for bit.

Two numbers travel with the gradient: how many ranks want to meet at the next step boundary, and how
many had a loss that is not finite. So all ranks agree on both at no cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.consistency.work import EqualShare
from mpitrain.core.arrays import copy_into
from mpitrain.core.batches import BatchOrder
from mpitrain.core.position import Position
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.modes.gradient_sum import GradientSum
from mpitrain.modes.message import BAD, MEET
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update


class Synchronous:
    """One rank's part in synchronous training.

    Attributes:
        parameters: (n,), host or device, this rank's copy; changed by ``write``.
        gradient: (n,), beside the parameters, the model writes here.
        steps_done: steps finished by all ranks together.
        clock: steps finished by this rank in this era.
        calls: meetings asked for through the window: there is none.
    """

    calls = 0

    def __init__(
        self,
        update: Update,
        gradients: GradientSum,
        order: BatchOrder,
        work: EqualShare,
        rank: int,
        position: Position,
    ) -> None:
        """Train.

        Args:
            update: its gradient is that of ``gradients``.
            gradients: what is summed over the ranks.
            order: tells how many samples a ticket has.
            work: equal shares of the tickets of this run.
            rank: this rank.
            position: where the ranks start.
        """
        self.parameters = update.parameters
        self.gradient = update.gradient
        self.steps_done = position.steps
        self.clock = int(position.clocks[rank])
        self.wants_meeting: Callable[[], bool] = lambda: False
        self._update = update
        self._gradients = gradients
        self._order = order
        self._work = work
        self._rank = rank
        self._start = position
        self._version = position.version
        self._is_called = False

    @property
    def is_over(self) -> bool:
        """Whether no rank has work left."""
        return not self._work.is_left(self.clock, 0)

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the initial parameters; every rank gives the same.

        Collective: yes.
        """
        copy_into(self.parameters, parameters)

    def start(self, record: StepRecord) -> bool:
        """Begin the next step; return False where all ranks are to meet first.

        Collective: no.
        """
        if self._is_called or self.is_over:
            return False
        record.clock = self.clock
        record.ticket = self._work.ticket(self.clock, self._rank)
        record.wait_s = 0.0
        return True

    def read(self, record: StepRecord) -> None:
        """Note the versions; the parameters are here already.

        Collective: no.
        """
        record.version_read.fill(self._version)

    def write(self, record: StepRecord) -> bool:
        """Reduce the gradient over all ranks and apply the update.

        Returns whether it was applied: False on all ranks, which are to meet then, when a loss or
        the sum of the gradients is not finite.

        Collective: yes.
        """
        began_s = time.perf_counter()
        update = self._update
        self.steps_done += self._work.size  # what a meeting after this step will find
        signals = self._gradients.signals
        signals[MEET] = self.wants_meeting()
        signals[BAD] = not math.isfinite(record.loss)
        if self._work.size > 1:
            self._gradients.sum_in_place()
        reduced_s = time.perf_counter()
        first = self._work.ticket(self.clock, 0)
        is_good = update.begin(record, self._batch_size(), first) and not signals[BAD]
        self._is_called = not is_good or bool(signals[MEET])
        if not is_good:
            self.steps_done -= self._work.size
            return False
        update.apply()
        record.update_norm = update.norm()
        self.clock += 1
        self._version += 1
        record.version_written.fill(self._version)
        record.wait_s = reduced_s - began_s
        record.write_s = time.perf_counter() - reduced_s
        return True

    def position(self) -> Position:
        """Return where all ranks stand; they are at rest.

        Collective: no.
        """
        clocks = np.full(self._start.size, self.clock, np.int64)
        return self._start.moved(clocks, self._version, 0)

    def watch_copies(self, watch: CopyWatch) -> None:
        """See Mode. Collective: no."""
        self._gradients.watch(watch)

    def go_on(self, calls: int) -> None:
        """Go on after a meeting. Collective: no."""
        self._is_called = False

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions.

        Collective: no.
        """
        copy_into(out, self.parameters)
        versions.fill(self._version)

    def close(self) -> None:
        """Free what the sum holds; a second call does nothing.

        Collective: yes.
        """
        self._gradients.close()

    def _batch_size(self) -> int:
        """Return the number of samples in this clock's global batch."""
        tickets = (self._work.ticket(self.clock, p) for p in range(self._work.size))
        return sum(map(self._order.num_samples_of, tickets))
