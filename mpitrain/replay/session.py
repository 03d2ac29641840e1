"""Replay of a recorded run: the same schedule again, life by life, in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.config import Config
from mpitrain.core.console import counted
from mpitrain.core.errors import MpitrainError, UserError
from mpitrain.core.position import Start
from mpitrain.factories import Data
from mpitrain.models.model import Model
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan, make_plan
from mpitrain.replay.comparison import Comparison, judged, marks_of
from mpitrain.replay.life import ReplayedLife, carry_over
from mpitrain.replay.place import Place
from mpitrain.replay.recording import Recording, read_recording
from mpitrain.result import Result, parameters_sha256
from mpitrain.running.best import Best, Seen
from mpitrain.running.bookkeeping import (
    ANOTHER_DIRECTORY,
    fill_directory,
    layout_text,
    make_directory,
    write_failure,
)
from mpitrain.running.checkpoint_content import read_parameters_into
from mpitrain.running.coherence import Coherence
from mpitrain.running.ending import result_facts
from mpitrain.running.evaluation import Evaluator, Regularly
from mpitrain.running.progress_line import Progress
from mpitrain.running.resuming import check_data, checkpoint_of, environment_changes
from mpitrain.running.totals import Totals, merged
from mpitrain.running.wording import coherence_line
from mpitrain.schedules.recorded import RecordedLife
from mpitrain.storage.run_directory import RunDirectory, status_of
from mpitrain.storage.run_lock import RunLock


@dataclass(frozen=True)
class Replay:
    """What came out of a replay.

    Attributes:
        result: as of a run; its facts say too what was replayed, and whether it is the same.
        is_same: whether losses and parameters are those of the recorded run; None where something
            was changed, so that they need not be.
        lines: what was found, for people.
    """

    result: Result
    is_same: bool | None
    lines: Sequence[str]


def replay_run(
    root: Path,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    model: Model | None = None,
    source: Data | None = None,
) -> Replay:
    """Train under the schedule of a recorded run, in this process; it becomes a run of its own.

    Args:
        root: the run directory.
        overrides: ``key=value`` words, or values by dotted key: what to do otherwise.
        model: the run's model, where it was given to ``train``.
        source: the run's data, where they were given to ``train``.

    Raises:
        UserError: the run cannot be replayed, or not with these changes; nothing is written.
        MpitrainError: the changed run diverges.

    Collective: no.
    """
    recording = read_recording(root, overrides)
    plan = _first_plan(recording, model, source)
    directory = make_directory(plan.config)
    with closing(RunLock(directory.root, ANOTHER_DIRECTORY)):
        run_id = fill_directory(directory, plan, Place(0, recording.lives[-1].schedule.size))
        try:
            return _Session(recording, plan, directory, run_id).run()
        except BaseException as error:
            write_failure(directory, 0, f"{type(error).__name__}: {error}")
            raise


class _Session:
    """A replay under way; what watches it takes it for a mode."""

    clock = 0

    def __init__(
        self, recording: Recording, plan: Plan, directory: RunDirectory, run_id: str
    ) -> None:
        self._recording, self._first = recording, plan
        self._directory, self._run_id = directory, run_id
        self._comparison = Comparison()
        self._best = Best.of(plan.config, Seen())
        self._began_s = time.monotonic()
        self._totals = Totals()  # of the lives so far, by the schedule's times
        self._shown = Totals()  # in this process's time
        self._recorded = recording.lives[0]
        self._life: ReplayedLife | None = None
        run, total = plan.config.run, sum(life.schedule.num_updates for life in recording.lives)
        self._total_steps = total
        batch_size = plan.order.batch_size
        self._progress = Progress(self, 0, total, batch_size, run.progress_every_s)
        self._regular: list[Regularly] = []

    @property
    def steps_done(self) -> int:
        """Steps of all ranks since the start of the run."""
        return self._shown.num_steps

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""
        assert self._life is not None
        np.copyto(out, self._life.engine.parameters)
        versions[:] = self._life.engine.versions

    def run(self) -> Replay:
        """Replay life after life."""
        self._announce()
        recording, plan, outcome = self._recording, self._first, {}
        with closing(self._progress), np.errstate(all="ignore"):  # a step says what is not finite
            for recorded, config in zip(recording.lives, recording.configs, strict=True):
                if self._life is not None:
                    plan = self._next_plan(recorded, config)
                outcome = self._replay_life(plan, recorded)
        return self._conclude(outcome)

    def _replay_life(self, plan: Plan, recorded: RecordedLife) -> dict[str, Any]:
        """Replay one life; return the evaluation at the end of the last one."""
        before, outcome = self._life, {}
        life = ReplayedLife(
            plan,
            recorded.schedule,
            self._directory,
            self._run_id,
            self._look,
            is_whole=recorded.is_whole,
        )
        if before is not None:
            carry_over(before, life)
        self._life, self._recorded = life, recorded
        evaluator = self._look_regularly(plan)
        with life:
            self._advance(life)
            if recorded is self._recording.lives[-1]:
                self._progress.finish()
                outcome = evaluator.outcome()
                self._tell_evaluation(outcome)
                digest = parameters_sha256(life.engine.parameters)
                life.log.event("digest", {"parameters_sha256": digest})
        self._totals = merged([self._totals, life.totals])
        if recorded.is_whole:  # else no other ranks could go on from here
            life.write_checkpoint(self._totals)
        return outcome

    def _advance(self, life: ReplayedLife) -> None:
        """Take all steps of a life, and compare parameters where its checkpoints were written."""
        recorded, layout = self._recorded, life.plan.model.layout
        for version, checkpoint in marks_of(self._recording.directory, recorded):
            life.engine.advance_to(version)
            if not self._recording.changes:
                self._comparison.look_at(checkpoint, layout, life.engine.parameters)
        if not life.engine.advance_to(recorded.schedule.last_version):
            message = f"life {recorded.life}: an update reads a version that nobody makes"
            raise MpitrainError(message)

    def _next_plan(self, recorded: RecordedLife, config: Config) -> Plan:
        """Return the plan of the life after the present one, which starts where that ended."""
        life, plan = self._life, self._first
        assert life is not None
        position = recorded.position
        new = make_plan(
            config,
            position.size,
            model=plan.model if "model" in plan.own else None,
            source=plan.source,
            start=life.start_of_next(position),
        )
        np.copyto(new.initial, life.engine.parameters)
        return new

    def _look_regularly(self, plan: Plan) -> Evaluator:
        """Evaluate and measure coherence as often as the run file says; return what evaluates."""
        evaluator = Evaluator(self, plan.model, plan.source, plan.shards)
        run, first, total = plan.config.run, self.steps_done, self._total_steps
        self._regular = []
        if run.evaluate_every:

            def evaluate() -> None:
                self._tell_evaluation(evaluator.outcome())

            self._regular.append(Regularly(self, run.evaluate_every, first, total, evaluate))
        if run.coherence_every:
            coherence = Coherence.of(self, plan)

            def measure() -> None:
                self._tell_coherence(coherence.outcome())

            self._regular.append(Regularly(self, run.coherence_every, first, total, measure))
        return evaluator

    def _look(self, row: int, record: StepRecord) -> None:
        if not self._recording.changes:
            self._comparison.look(self._recorded, row, record)
        shown = self._shown
        shown.add(record, time.monotonic() - self._began_s)
        shown.first_s = 0.0
        self._progress.after_step(record, shown)
        for observer in self._regular:
            observer.after_step(record, shown)

    def _tell_evaluation(self, outcome: Mapping[str, Any]) -> None:
        assert self._life is not None
        self._life.log.event("evaluation", outcome)
        self._best.look(outcome["steps"], outcome.get(self._first.model.metric_name))
        self._progress.tell(outcome)

    def _tell_coherence(self, outcome: Mapping[str, Any]) -> None:
        assert self._life is not None
        self._life.log.event("coherence", outcome)
        self._progress.say(coherence_line(outcome))

    def _announce(self) -> None:
        recording, place = self._recording, Place(0, 1)
        size = self._recorded.schedule.size
        lives = f", {len(recording.lives)} lives" if len(recording.lives) > 1 else ""
        place.speak(
            f"replay of {recording.directory.root}: {self._total_steps} steps of "
            f"{counted(size, 'rank')}{lives}, in {self._directory.root}"
        )
        if recording.changes:
            place.speak(f"changed: {', '.join(recording.changes)}; the schedule is the same")
        if not recording.lives[-1].is_whole:
            num_left = counted(recording.lives[-1].num_left, "logged step")
            place.speak(f"the run was cut off; left out: {num_left} after one that is missing")
        changes = environment_changes(recording.facts)
        if changes:
            place.speak(f"environment differs: {changes}; bit-identity is not promised")

    def _conclude(self, outcome: Mapping[str, Any]) -> Replay:
        life, recording = self._life, self._recording
        assert life is not None
        digest = parameters_sha256(life.engine.parameters)
        verdict = judged(recording, self._comparison, digest)
        facts = result_facts(
            life.plan,
            self._totals,
            {k: v for k, v in outcome.items() if k not in ("steps", "versions")},
            self._best.seen,
            ranks=life.plan.start.position.size,
            digest=digest,
            ended_early=False,
            directory=str(self._directory.root),
        )
        facts |= {
            "replay_of": str(recording.directory.root),
            "changes": list(recording.changes),
            "is_same": verdict.is_same,
            "replay_seconds": time.monotonic() - self._began_s,
        }
        self._directory.write_result(facts)
        self._directory.write_status(self._status(life.plan.start.life))
        self._directory.give_reserve()
        views = life.plan.model.layout.views(life.engine.parameters)
        result = Result(facts=facts, parameters={k: v.copy() for k, v in views.items()})
        return Replay(result, verdict.is_same, verdict.lines)

    def _status(self, life: int) -> Mapping[str, Any]:
        if self._recording.lives[-1].is_whole:
            return status_of("done", life=life)
        reason = f"as the replayed run: cut off, here after step {self.steps_done}"
        return status_of("failed", life=life, reason=reason)


def _first_plan(recording: Recording, model: Model | None, source: Data | None) -> Plan:
    """Return the plan of the first life; its model and data are those of the run."""
    first, config = recording.lives[0], recording.configs[0]
    start = Start(life=0, position=first.position)
    plan = make_plan(config, first.schedule.size, model=model, source=source, start=start)
    check_data(recording.facts, plan.source.digest)
    _check_layout(first, plan)
    if config.run.init_from is not None:
        checkpoint = checkpoint_of(config.run.init_from)
        read_parameters_into(checkpoint, plan.model.layout, plan.initial)
    return plan


def _check_layout(recorded: RecordedLife, plan: Plan) -> None:
    there, here = recorded.logs[0].attributes["layout"], layout_text(plan.model.layout)
    if there != here:
        message = (
            f"{recorded.logs[0].path}: the run's model has the layout {there}, the one of its run "
            f"file {here}; replay a script's model by mpitrain.replay(directory, model, data)"
        )
        raise UserError(message)
    num_shards = len(recorded.logs[0].shards)
    if num_shards != plan.shards.count:
        message = (
            f"{recorded.logs[0].path}: the log has {num_shards} shards, the run file gives "
            f"{plan.shards.count}"
        )
        raise UserError(message)
