"""Training under schedules, life after life, in one process: what a replay and a simulation share.

It leaves an ordinary run directory: a log per simulated rank, a checkpoint, a result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import CheckpointError, MpitrainError
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan
from mpitrain.replaying.life import AnySchedule, ReplayedLife, carry_over
from mpitrain.replaying.place import Place
from mpitrain.result import Result, parameters_sha256
from mpitrain.running.best import Best, Seen
from mpitrain.running.coherence import Coherence
from mpitrain.running.ending import result_facts
from mpitrain.running.evaluation import Evaluator, Regularly
from mpitrain.running.progress_line import Progress
from mpitrain.running.totals import Totals, merged
from mpitrain.running.wording import coherence_line
from mpitrain.stop import Stop
from mpitrain.storage.run_directory import RunDirectory, status_of

Look = Callable[[int, StepRecord], None]


def to_the_end(life: ReplayedLife) -> None:
    """Take all steps of a life.

    Raises:
        MpitrainError: its schedule cannot be followed.
    """
    if not life.engine.finish():
        message = "the schedule breaks off: an update reads a version that nobody makes"
        raise MpitrainError(message)


class ScheduledTraining:
    """Training under way; what watches it takes it for a mode.

    Attributes:
        clock: 0; no rank's clock is watched here.
        life: the present one; None before the first.
        totals: of the lives that are done, by the schedules' times.
        directory: of the run.
    """

    clock = 0

    def __init__(
        self,
        plan: Plan,
        directory: RunDirectory,
        run_id: str,
        total_steps: int,
        stop: Stop | None = None,
    ) -> None:
        """Show progress from now on.

        Args:
            plan: of the first life.
            directory: of the run, its run file written.
            run_id: of the run.
            total_steps: of all lives.
            stop: set by signals; it ends the training, and there is nothing to go on from.
        """
        self._stop = stop
        self.life: ReplayedLife | None = None
        self.totals = Totals()
        self.directory = directory
        self._run_id, self._total_steps = run_id, total_steps
        self._best = Best.of(plan.config, Seen())
        self._began_s = time.monotonic()
        self._shown = Totals()  # in this process's time
        every_s = plan.config.run.progress_every_s
        self._progress = Progress(self, 0, total_steps, plan.order.batch_size, every_s)
        self._regular: list[Regularly] = []
        self._look: Look | None = None
        self._outcome: dict[str, Any] = {}

    @property
    def steps_done(self) -> int:
        """Steps of all ranks since the start of the run."""
        return self._shown.num_steps

    @property
    def seconds(self) -> float:
        """How long this process has trained."""
        return time.monotonic() - self._began_s

    @property
    def present(self) -> ReplayedLife:
        """The present life, when there is one."""
        assert self.life is not None
        return self.life

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""
        np.copyto(out, self.present.parameters)
        versions[:] = self.present.engine.versions

    def train(
        self,
        plan: Plan,
        schedule: AnySchedule,
        advance: Callable[[ReplayedLife], None] = to_the_end,
        look: Look | None = None,
        *,
        is_whole: bool = True,
        is_last: bool = True,
    ) -> None:
        """Train one life.

        Args:
            plan: of the life.
            schedule: of the life.
            advance: takes its steps.
            look: told the schedule's row and the record of every step that is done.
            is_whole: the schedule holds every step of its ranks up to its end.
            is_last: no life comes after it: the parameters are evaluated.
        """
        life = ReplayedLife(
            plan,
            schedule,
            self.directory,
            self._run_id,
            self._after_step,
            is_whole=is_whole,
        )
        if self.life is not None:
            carry_over(self.life, life)
        self.life, self._look = life, look
        evaluator = Evaluator(self, plan.model, plan.source, plan.shards, xp=plan.twin.xp)
        self._regular = list(self._regular_observers(plan, evaluator))
        with life, np.errstate(all="ignore"):  # a step says by itself what is not finite
            advance(life)
            if is_last:
                self._progress.finish()
                self._outcome = evaluator.outcome()
                self._tell_evaluation(self._outcome)
                digest = parameters_sha256(life.parameters)
                life.log.event("digest", {"parameters_sha256": digest})
        self.totals = merged([self.totals, life.totals])
        if life.can_go_on:
            self._write_checkpoint(life, is_last=is_last)

    def _write_checkpoint(self, life: ReplayedLife, *, is_last: bool) -> None:
        """Write a checkpoint; the last one is not worth losing what all the steps have shown.

        Raises:
            MpitrainError: it cannot be written, and another life is to go on from it.
        """
        try:
            life.write_checkpoint(self.totals)
        except CheckpointError as error:
            if not is_last:
                raise MpitrainError(str(error)) from error
            Place(0, 1).speak(f"warning: {error}")

    def result(self, *, cut_off: str = "", ended_early: bool = False, **facts: Any) -> Result:
        """Write the result and the status, and return the result.

        Args:
            ended_early: evaluations ended the run, so that tickets are left.
            cut_off: why the run is not done; empty where it is.
            **facts: what it says beside what every run's does.
        """
        life, directory = self.present, self.directory
        all_facts = result_facts(
            life.plan,
            self.totals,
            {k: v for k, v in self._outcome.items() if k not in ("steps", "versions")},
            self._best.seen,
            ranks=life.plan.start.position.size,
            digest=parameters_sha256(life.parameters),
            ended_early=ended_early,
            directory=str(directory.root),
        )
        all_facts |= facts
        directory.write_result(all_facts)
        number = life.plan.start.life
        state = "failed" if cut_off else "done"
        directory.write_status(status_of(state, life=number, reason=cut_off))
        directory.give_reserve()
        views = life.plan.model.layout.views(life.parameters)
        return Result(facts=all_facts, parameters={k: v.copy() for k, v in views.items()})

    def close(self) -> None:
        """End the display; a second call does nothing."""
        self._progress.close()

    def _after_step(self, row: int, record: StepRecord) -> None:
        if self._stop is not None and self._stop.reason is not None:
            message = f"{self._stop.reason} after step {self.steps_done}; start it again"
            raise MpitrainError(message)
        if self._look is not None:
            self._look(row, record)
        shown = self._shown
        shown.add(record, self.seconds)
        shown.first_s = 0.0
        self._progress.after_step(record, shown)
        for observer in self._regular:
            observer.after_step(record, shown)

    def _regular_observers(self, plan: Plan, evaluator: Evaluator) -> Iterator[Regularly]:
        """Yield what evaluates and measures coherence as often as the run file says."""
        run, first, total = plan.config.run, self.steps_done, self._total_steps
        if run.evaluate_every:

            def evaluate() -> None:
                self._tell_evaluation(evaluator.outcome())

            yield Regularly(self, run.evaluate_every, first, total, evaluate)
        if run.coherence_every:
            coherence = Coherence.of(self, plan)

            def measure() -> None:
                outcome = coherence.outcome()
                self.present.log.event("coherence", outcome)
                self._progress.say(coherence_line(outcome))

            yield Regularly(self, run.coherence_every, first, total, measure)

    def _tell_evaluation(self, outcome: Mapping[str, Any]) -> None:
        life = self.present
        life.log.event("evaluation", outcome)
        self._best.look(outcome["steps"], outcome.get(life.plan.model.metric_name))
        self._progress.tell(outcome)
