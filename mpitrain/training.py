"""The training loop, as the algorithm: start, read, compute, write, log; until no work is left.

Between two steps all ranks may meet: for a checkpoint, to stop, and at the end.

How a step exchanges is the mode's business (modes/), what is computed the model's (models/).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpitrain.core.batch import Batch
from mpitrain.core.phases import COMPUTE, READ, WAIT, WRITE
from mpitrain.core.position import Position
from mpitrain.modes.record import StepRecord
from mpitrain.straggler import Injector
from mpitrain.totals import Totals


class Mode(Protocol):
    """How one step of one rank exchanges with the others; see modes/.

    Attributes:
        parameters: (n,), what the gradient is computed from.
        gradient: (n,), the model writes here.
        steps_done: steps of all ranks together since the start of the run.
        clock: steps of this rank in this era.
        wants_meeting: asked at every boundary and while waiting: call the others together?
    """

    parameters: npt.NDArray[Any]
    gradient: npt.NDArray[Any]
    steps_done: int
    clock: int
    wants_meeting: Callable[[], bool]

    @property
    def calls(self) -> int:
        """Calls for a meeting that this rank has seen."""

    @property
    def is_over(self) -> bool:
        """Whether no rank has work left, as far as this rank has seen."""

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the parameters to start from. Collective: yes."""

    def start(self, record: StepRecord) -> bool:
        """Wait until this rank may start; return False where all ranks are to meet first."""

    def read(self, record: StepRecord) -> None:
        """Bring ``parameters`` up to date."""

    def write(self, record: StepRecord) -> bool:
        """Apply the update that ``gradient`` causes; False where it is not finite: to be met."""

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""

    def position(self) -> Position:
        """Return where all ranks stand while they are at rest."""

    def go_on(self, calls: int) -> None:
        """Go on after a meeting that answered this many calls."""

    def close(self) -> None:
        """Free what the mode holds. Collective: yes."""


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
