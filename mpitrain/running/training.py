"""The training loop, as the algorithm: start, read, compute, write, log; until no work is left.

Between two steps all ranks may meet: for a checkpoint, to stop, and at the end.

How a step exchanges is the mode's business (modes/), what is computed the model's (models/).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from mpitrain.core.batch import Batch
from mpitrain.core.phases import COMPUTE, READ, WAIT, WRITE
from mpitrain.modes.mode import Mode
from mpitrain.modes.record import StepRecord
from mpitrain.running.straggler import Injector
from mpitrain.running.totals import Totals


class Meeting(Protocol):
    """What all ranks do together at a step boundary; see meeting.py."""

    def hold(self, totals: Totals) -> bool:
        """Meet; return whether the run is over. Collective: yes."""

    def note_bad_step(self, record: StepRecord) -> None:
        """Take note of a step whose loss or gradient is not finite."""


ComputeGradient = Callable[[Batch], float]
Load = Callable[[int], Batch]
Note = Callable[[int, int], None]


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
    meeting: Meeting,
    *,
    note: Note = lambda _phase, _clock: None,
    injector: Injector | None = None,
    observers: tuple[Observer, ...] = (),
) -> Totals:
    """Train until no rank has work left.

    Args:
        mode: how to exchange.
        load: ticket -> batch.
        compute_gradient: batch -> summed loss; writes the summed gradient into ``mode.gradient``
            from ``mode.parameters``.
        now: seconds since the run's common zero.
        record: reused for every step.
        meeting: held whenever a rank has called for it, and at the end.
        note: told phase and clock whenever a phase begins.
        injector: makes this rank late, for experiments.
        observers: called after every step, in order.

    Returns:
        what this rank did.

    Collective: as the mode's steps.
    """
    totals = Totals()
    while True:
        note(WAIT, mode.clock)
        record.began_s = now()
        if not mode.start(record):
            if meeting.hold(totals):
                return totals
            continue
        note(READ, record.clock)
        mode.read(record)

        note(COMPUTE, record.clock)
        began_s = time.perf_counter()
        batch = load(record.ticket)
        record.num_samples = len(batch.y)
        record.loss = compute_gradient(batch) / record.num_samples
        if injector is not None:
            injector.delay(record.clock, time.perf_counter() - began_s)
        record.compute_s = time.perf_counter() - began_s

        note(WRITE, record.clock)
        if not mode.write(record):
            compute_gradient(batch)  # it may have been summed over the ranks: whose was it?
            meeting.note_bad_step(record)
            continue
        totals.add(record, now())
        for observer in observers:
            observer.after_step(record, totals)
