"""The training loop, as the algorithm: start, read, compute, write, log; until no work is left.

How a step exchanges is the mode's business (modes/), what is computed the model's (models/).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpitrain.core.batch import Batch
from mpitrain.modes.record import StepRecord
from mpitrain.straggler import Injector
from mpitrain.totals import Totals


class Mode(Protocol):
    """How one step of one rank exchanges with the others; see modes/."""

    parameters: npt.NDArray[Any]
    gradient: npt.NDArray[Any]
    steps_done: int

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the initial parameters. Collective: yes."""

    def start(self, record: StepRecord) -> bool:
        """Wait until this rank may start; return whether there was work left."""

    def read(self, record: StepRecord) -> None:
        """Bring ``parameters`` up to date."""

    def write(self, record: StepRecord) -> None:
        """Apply the update that ``gradient`` causes."""

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""

    def finish(self) -> None:
        """Meet the others after the last step. Collective: yes."""

    def close(self) -> None:
        """Free what the mode holds. Collective: yes."""


ComputeGradient = Callable[[Batch], float]
Load = Callable[[int], Batch]


class Observer(Protocol):
    """Watches the steps of one rank: the log, the progress line, evaluations."""

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Look at a finished step."""


def train_steps(
    mode: Mode,
    load: Load,
    compute_gradient: ComputeGradient,
    now: Callable[[], float],
    record: StepRecord,
    *,
    injector: Injector | None = None,
    observers: tuple[Observer, ...] = (),
) -> Totals:
    """Train until the mode has no work left for this rank.

    Args:
        mode: how to exchange.
        load: ticket -> batch.
        compute_gradient: batch -> summed loss; writes the summed gradient into ``mode.gradient``
            from ``mode.parameters``.
        now: seconds since the run's common zero.
        record: reused for every step.
        injector: makes this rank late, for experiments.
        observers: called after every step, in order.

    Returns:
        what this rank did.

    Collective: as the mode's steps.
    """
    totals = Totals()
    while True:
        record.began_s = now()
        if not mode.start(record):
            return totals
        mode.read(record)

        began_s = time.perf_counter()
        batch = load(record.ticket)
        record.num_samples = len(batch.y)
        record.loss = compute_gradient(batch) / record.num_samples
        if injector is not None:
            injector.delay(record.clock, time.perf_counter() - began_s)
        record.compute_s = time.perf_counter() - began_s

        mode.write(record)
        totals.add(record, now())
        for observer in observers:
            observer.after_step(record, totals)


class LogObserver:
    """Appends every step to the staleness log."""

    def __init__(self, append: Callable[..., None]) -> None:
        self._append = append

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Append the step's row."""
        self._append(
            record.clock,
            record.ticket,
            record.began_s,
            record.wait_s,
            record.read_s,
            record.compute_s,
            record.write_s,
            record.lead,
            record.staleness_mean,
            record.staleness_max,
            record.own_missing,
            record.loss,
            record.gradient_norm,
            record.update_norm,
            record.rate,
            record.factor,
            record.num_samples,
            record.version_read,
            record.version_written,
        )
