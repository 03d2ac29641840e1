"""What all ranks do together at a step boundary: a checkpoint, a stop, or the end of the run.

Any rank may want a meeting: because a signal came, because it is time, or because something is
wrong. The mode tells the others, and each comes at its next boundary. There they exchange what they
want, so that all decide alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from mpitrain.comm.world import World
from mpitrain.core.errors import MpitrainError, StoppedError, agreed
from mpitrain.core.phases import CHECKPOINT, WAIT
from mpitrain.core.position import Position
from mpitrain.modes.mode import Mode
from mpitrain.modes.record import StepRecord
from mpitrain.running.best import Best, Seen
from mpitrain.running.checkpointing import WRITING_TIMES, Checkpointer
from mpitrain.running.deadline import Deadline
from mpitrain.running.totals import Totals, merged
from mpitrain.stop import Stop

Event = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class _Trouble:
    """Why the run cannot go on; of several the one with the smallest weight is told."""

    weight: int
    text: str


@dataclass(frozen=True)
class _Newest:
    """The newest complete checkpoint, and why there is no newer one."""

    name: str
    steps: int
    trouble: str | None


@dataclass(frozen=True)
class _Word:
    """What one rank brings to a meeting."""

    calls: int
    is_over: bool
    is_enough: bool
    stop: str | None
    trouble: _Trouble | None
    is_due: bool
    totals: Totals


class Meeting:
    """One rank's part in the meetings of all.

    Attributes:
        totals: what all ranks did since the start of the run, as of the last meeting.
        parts: what each rank did in this life, as of the last meeting.
        early_stop: what evaluations had shown when they ended the run, as this rank knows it; None
            where they did not.
    """

    def __init__(
        self,
        world: World,
        mode: Mode,
        checkpointer: Checkpointer,
        stop: Stop,
        *,
        best: Best,
        earlier: Totals,
        deadline: Deadline | None,
        event: Event,
        note: Callable[[int, int], None],
        gradient_is_finite: Callable[[], bool],
        place: str,
    ) -> None:
        """Hold meetings of ``world``.

        Args:
            world: the ranks.
            mode: how they exchange.
            checkpointer: writes checkpoints.
            stop: set by signals.
            best: what rank 0's evaluations have shown: whether the run may end.
            earlier: what the lives before this one did.
            deadline: when to stop; rank 0 looks at it.
            event: takes kind and detail of what happened, for the log.
            note: told phase and clock when a meeting begins.
            gradient_is_finite: tells whether this rank's own gradient is, after a bad step.
            place: the run directory, for messages.
        """
        self._world, self._mode, self._checkpointer = world, mode, checkpointer
        self._stop, self._earlier, self._deadline = stop, earlier, deadline
        self._event, self._gradient_is_finite = event, gradient_is_finite
        self._note = note
        self._place, self._best = place, best
        self._trouble: _Trouble | None = None
        self.totals = earlier
        self.parts: list[Totals] = []
        self.early_stop: Seen | None = None

    def is_wanted(self) -> bool:
        """Tell whether this rank wants a meeting; polled at every boundary and while waiting.

        Collective: no.
        """
        checkpointer = self._checkpointer
        checkpointer.poll()
        if self._stop.reason is not None or self._trouble or checkpointer.trouble:
            return True
        is_enough = self._best.is_enough(self._mode.steps_done)
        return self._world.is_root and (is_enough or checkpointer.is_due() or self._is_late())

    def note_trouble(self, text: str, *, weight: int = 0) -> None:
        """Take note of what ends the run: it stops at the next boundary, without a checkpoint."""
        if self._trouble is None:
            self._trouble = _Trouble(weight, text)

    def note_bad_step(self, record: StepRecord) -> None:
        """Take note of a step that was not applied: a loss or gradient is not finite."""
        where = f"at clock {record.clock}, ticket {record.ticket}; the update was not applied"
        who = f"rank {self._world.rank} on {self._world.host}"
        if not math.isfinite(record.loss):
            self.note_trouble(f"{who}: the loss is {record.loss:g} {where}")
        elif not self._gradient_is_finite():
            self.note_trouble(f"{who}: the gradient is not finite {where}")
        else:
            what = "the sum of all ranks' gradients is not finite"
            self.note_trouble(f"{what} {where}", weight=1)

    def hold(self, totals: Totals) -> bool:
        """Meet the others; return whether the run is over.

        Args:
            totals: what this rank did in this life.

        Raises:
            StoppedError: the run was asked to stop, and did.
            MpitrainError: the run cannot go on; on every rank.

        Collective: yes.
        """
        words = self._world.gather_obj(self._word(totals), "all ranks are at a step boundary")
        began_s = time.perf_counter()
        self._raise_trouble(words)
        self.parts = [word.totals for word in words]
        self.totals = merged([self._earlier, *self.parts])
        is_over = any(word.is_over for word in words)
        if is_over or words[0].is_enough:
            if not is_over:
                self._end_early()
            _, newest = self._end()
            self._raise_failure(newest)
            return True
        stop = next((word.stop for word in words if word.stop is not None), None)
        if stop is not None:
            self._stop_here(stop, *self._end())
        if words[0].is_due:
            self._take(self._mode.position())
            self._checkpointer.begin_writing(time.perf_counter() - began_s)
        self._mode.go_on(max(word.calls for word in words))
        if words[0].is_due:
            self._checkpointer.judge()
        return False

    def _word(self, totals: Totals) -> _Word:
        stop, is_due = self._stop.reason, False
        if self._world.is_root:
            is_due = self._checkpointer.is_due()
            if stop is None and self._is_late():
                assert self._deadline is not None
                stop = self._deadline.reason
        trouble = self._trouble
        if trouble is None and self._checkpointer.trouble is not None:
            trouble = _Trouble(0, self._checkpointer.trouble)
        mode = self._mode
        is_enough = self._world.is_root and self._best.is_enough(mode.steps_done)
        return _Word(mode.calls, mode.is_over, is_enough, stop, trouble, is_due, totals)

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline.at_s

    def _raise_trouble(self, words: Sequence[_Word]) -> None:
        troubles = [word.trouble for word in words if word.trouble is not None]
        if troubles:
            self._checkpointer.settle()
            # no clean end: a ticket may be drawn and its step not taken
            text = min(troubles, key=lambda trouble: trouble.weight).text
            raise self._failure(text, self._newest())

    def end_at_once(self) -> None:
        """Take note that the life before had ended the run early, and was cut off then."""
        self.early_stop = self._best.seen
        self.parts = [Totals() for _ in range(self._world.size)]

    def close(self) -> None:
        """Exchange what went wrong after the last meeting, when the logs were closed.

        Raises:
            MpitrainError: a log could not be written, and the run is to stop then; on every rank.

        Collective: yes.
        """
        troubles = self._world.gather_obj(self._trouble, "all logs are closed")
        found = [trouble for trouble in troubles if trouble is not None]
        if found:
            raise agreed(MpitrainError(f"{found[0].text}; resume {self._place} goes on"))

    def _end(self) -> tuple[Position, _Newest]:
        """Write the last checkpoint of this life; return where that is and what came of it."""
        position = self._mode.position()
        began_s = time.perf_counter()
        self._take(position)
        self._checkpointer.begin_writing(time.perf_counter() - began_s)
        self._checkpointer.settle()
        return position, self._newest()

    def _end_early(self) -> None:
        self._best.end()
        self.early_stop = self._best.seen
        self._event("early_stop", {"steps": self._mode.position().steps})

    def _take(self, position: Position) -> None:
        """Copy what a checkpoint saves, on all ranks, when the one before is written.

        A disk may be slow; a rank that does not come back from copying hangs. Rank 0 alone knows
        whether the one before failed, and may be tried again at the same step.
        """
        world, checkpointer, clock = self._world, self._checkpointer, self._mode.clock
        self._note(WAIT, clock)
        checkpointer.settle()
        before = "the checkpoint before is written"
        taken = world.gather_obj(checkpointer.taken_steps, before, times=WRITING_TIMES)
        checkpointer.taken_steps = taken[0]
        self._note(CHECKPOINT, clock)
        checkpointer.take(position, self.totals)
        self._note(WAIT, clock)
        world.meet("all ranks have copied what a checkpoint saves")

    def _raise_failure(self, newest: _Newest) -> None:
        if newest.trouble is not None:
            raise self._failure(newest.trouble, newest)

    def _failure(self, text: str, newest: _Newest) -> MpitrainError:
        if newest.name != "none":
            text += f"; the newest good checkpoint is {newest.name}: resume {self._place}"
        return agreed(MpitrainError(text))

    def _stop_here(self, reason: str, position: Position, newest: _Newest) -> NoReturn:
        self._event("stop", {"reason": reason, "steps": position.steps})
        self._raise_failure(newest)
        if newest.steps != position.steps:
            message = (
                f"stopped at step {position.steps} ({reason}), but without a checkpoint there "
                f"(checkpoint.enabled = false?); the newest is {newest.name}"
            )
            raise agreed(MpitrainError(message))
        message = f"stopped at step {position.steps} ({reason}); go on with: resume {self._place}"
        path = f"{self._place}/checkpoints/{newest.name}"
        raise StoppedError(message, position.steps, path)

    def _newest(self) -> _Newest:
        """Return what rank 0 knows of the newest checkpoint. Collective: yes."""
        checkpointer = self._checkpointer
        mine = _Newest(checkpointer.newest, checkpointer.newest_steps, checkpointer.trouble)
        return self._world.gather_obj(mine, "the checkpoint is complete", times=WRITING_TIMES)[0]
