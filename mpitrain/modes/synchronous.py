"""Bulk synchronous training: one reduction per step, the same update on every rank.

Every rank computes the summed gradient of its part of the global batch. The sums are added over
the ranks and divided by the number of samples of the whole batch; every rank then applies the
same update to its own copy of the parameters, so the copies stay equal bit for bit.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.comm.reduction import Reduction
from mpitrain.core.batches import BatchOrder
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update
from mpitrain.modes.work import Work


class Synchronous:
    """One rank's part in synchronous training.

    Attributes:
        parameters: (n,), host, this rank's copy; changed by ``write``.
        gradient: (n,), host, the model writes here.
        steps_done: steps finished by all ranks together.
    """

    def __init__(
        self,
        update: Update,
        reduction: Reduction,
        order: BatchOrder,
        work: Work,
        rank: int,
        size: int,
    ) -> None:
        """Train with ``update`` and ``reduction``.

        Args:
            update: its ``gradient`` is the vector that ``reduction`` sums.
            reduction: sums gradients over the ranks.
            order: tells how many samples a ticket has.
            work: equal shares of the tickets of this run.
            rank: this rank.
            size: number of ranks.
        """
        self.parameters = update.parameters
        self.gradient = update.gradient
        self.steps_done = 0
        self._update = update
        self._reduction = reduction
        self._order = order
        self._work = work
        self._rank = rank
        self._size = size
        self._clock = 0

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the initial parameters; every rank gives the same.

        Collective: yes.
        """
        np.copyto(self.parameters, parameters)

    def start(self, record: StepRecord) -> bool:
        """Begin the next step; return whether there was work left.

        Collective: no.
        """
        if not self._work.is_left(self._clock, 0):
            return False
        record.clock = self._clock
        record.ticket = self._first_ticket() + self._rank
        record.wait_s = 0.0
        return True

    def read(self, record: StepRecord) -> None:
        """Note the versions; the parameters are here already.

        Collective: no.
        """
        record.version_read.fill(self._clock)

    def write(self, record: StepRecord) -> None:
        """Reduce the gradient over all ranks and apply the update.

        Collective: yes.
        """
        began_s = time.perf_counter()
        self._reduction.sum_in_place()
        reduced_s = time.perf_counter()
        self._update.begin(record, self._batch_size(), self._first_ticket())
        self._update.compute()
        np.add(self.parameters, self._update.change, out=self.parameters)
        record.update_norm = self._update.norm()
        self._clock += 1
        self.steps_done = self._clock * self._size
        record.version_written.fill(self._clock)
        record.wait_s = reduced_s - began_s
        record.write_s = time.perf_counter() - reduced_s

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions.

        Collective: no.
        """
        np.copyto(out, self.parameters)
        versions.fill(self._clock)

    def finish(self) -> None:
        """Nothing is left behind when the last step is done.

        Collective: yes.
        """

    def close(self) -> None:
        """Free the reduction; a second call does nothing.

        Collective: yes.
        """
        self._reduction.close()

    def _first_ticket(self) -> int:
        return self._clock * self._size

    def _batch_size(self) -> int:
        """Return the number of samples in this clock's global batch."""
        first = self._first_ticket()
        return sum(self._order.num_samples_of(first + p) for p in range(self._size))
