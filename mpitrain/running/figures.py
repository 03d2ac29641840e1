"""Figures of progress: samples/s, loss, staleness and lead, taken every so often."""

from __future__ import annotations

from mpitrain.modes.mode import Watched
from mpitrain.modes.record import StepRecord
from mpitrain.running.totals import Totals

KEPT = 0.95  # of the running mean of losses, per step


class Figures:
    """Takes the figures of rank 0's steps, and of all ranks' speed.

    The loss is a running mean over this rank's mini-batches; staleness is this rank's mean, lead
    its newest.
    """

    def __init__(self, mode: Watched, first_step: int, batch_size: int, every_s: float) -> None:
        """Take the figures of ``mode``.

        Args:
            mode: knows the steps done.
            first_step: steps done before this life.
            batch_size: samples per step, for samples/s.
            every_s: seconds between two times.
        """
        self._mode, self._batch_size, self._every_s = mode, batch_size, every_s
        self._taken_s = 0.0
        self._taken_steps = first_step
        self._loss = 0.0

    def look(self, record: StepRecord, totals: Totals) -> bool:
        """Look at a step; tell whether it is time to take figures again."""
        if totals.num_steps == 1:
            self._loss, self._taken_s = record.loss, totals.first_s
            return False
        self._loss += (1 - KEPT) * (record.loss - self._loss)
        return totals.last_s - self._taken_s >= self._every_s

    def take(self, record: StepRecord, totals: Totals) -> dict[str, float]:
        """Return the figures by name."""
        steps, now_s = self._mode.steps_done, totals.last_s
        speed = (steps - self._taken_steps) / max(now_s - self._taken_s, 1e-9) * self._batch_size
        self._taken_steps, self._taken_s = steps, now_s
        return {
            "samples/s": speed,
            "loss": self._loss,
            "staleness": totals.staleness_mean,
            "lead": float(record.lead),
        }
