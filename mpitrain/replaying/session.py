"""Replay of a recorded run: the same schedule again, life by life, in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.config import Config, Device
from mpitrain.core.console import counted
from mpitrain.core.errors import UserError
from mpitrain.core.position import Start
from mpitrain.factories import Data
from mpitrain.models.model import Model
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan, make_plan
from mpitrain.replaying.comparison import Comparison, judged, marks_of
from mpitrain.replaying.life import ReplayedLife
from mpitrain.replaying.place import Place
from mpitrain.replaying.recording import Recording, read_recording
from mpitrain.replaying.training import ScheduledTraining, to_the_end
from mpitrain.result import Result, parameters_sha256
from mpitrain.running.bookkeeping import (
    ANOTHER_DIRECTORY,
    fill_directory,
    layout_text,
    make_directory,
    write_failure,
)
from mpitrain.running.checkpoint_content import read_parameters_into
from mpitrain.running.device import placed_alone
from mpitrain.running.resuming import check_data, checkpoint_of, environment_changes
from mpitrain.schedules.recorded import RecordedLife
from mpitrain.stop import Stop
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.run_directory import RunDirectory
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
    stop: Stop | None = None,
) -> Replay:
    """Train under the schedule of a recorded run, in this process; it becomes a run of its own.

    Args:
        root: the run directory.
        overrides: ``key=value`` words, or values by dotted key: what to do otherwise.
        model: the run's model, where it was given to ``train``.
        source: the run's data, where they were given to ``train``.
        stop: set by signals.

    Raises:
        UserError: the run cannot be replayed, or not with these changes; nothing is written.
        MpitrainError: the changed run diverges.

    Collective: no.
    """
    recording = read_recording(root, overrides)
    plan = _first_plan(recording, model, source)
    plan = placed_alone(plan, _device_of(recording), Place(0, 1).speak)
    directory = make_directory(plan.config)
    with closing(RunLock(directory.root, ANOTHER_DIRECTORY)):
        place = Place(0, recording.lives[-1].schedule.size)
        facts = {"simulated": f"a replay of {recording.directory.root}"}
        run_id = fill_directory(directory, plan, place, facts)
        total = sum(life.schedule.num_updates for life in recording.lives)
        try:
            made = ScheduledTraining(plan, directory, run_id, total, stop)
            with closing(made) as training:
                _announce(recording, plan, directory, total)
                return _Session(recording, training).run(plan)
        except BaseException as error:
            write_failure(directory, 0, f"{type(error).__name__}: {error}")
            raise


class _Session:
    """A replay under way."""

    def __init__(self, recording: Recording, training: ScheduledTraining) -> None:
        self._recording, self._training = recording, training
        self._comparison = Comparison()
        self._recorded = recording.lives[0]

    def run(self, plan: Plan) -> Replay:
        """Replay life after life; ``plan`` is that of the first."""
        recording, training = self._recording, self._training
        for recorded, config in zip(recording.lives, recording.configs, strict=True):
            if training.life is not None:
                plan = self._next_plan(training.life, recorded, config)
            self._recorded = recorded
            training.train(
                plan,
                recorded.schedule,
                self._advance,
                None if recording.changes else self._look,
                is_whole=recorded.is_whole,
                is_last=recorded is recording.lives[-1],
            )
        return self._conclude()

    def _advance(self, life: ReplayedLife) -> None:
        """Take all steps of a life, and compare parameters where its checkpoints were written."""
        layout = life.plan.model.layout
        for version, checkpoint in marks_of(self._recording.directory, self._recorded):
            life.engine.advance_to(version)
            if not self._recording.changes:
                self._comparison.look_at(checkpoint, layout, life.parameters)
        to_the_end(life)

    def _look(self, row: int, record: StepRecord) -> None:
        self._comparison.look(self._recorded, row, record)

    def _next_plan(self, life: ReplayedLife, recorded: RecordedLife, config: Config) -> Plan:
        """Return the plan of the life after ``life``, which starts where that ended."""
        position, before = recorded.position, life.plan
        new = make_plan(
            config,
            position.size,
            model=before.model if "model" in before.own else None,
            source=before.source,
            start=life.start_of_next(position),
        )
        new = new.on(before.device)
        np.copyto(new.initial, life.parameters)
        return new

    def _conclude(self) -> Replay:
        recording, training = self._recording, self._training
        digest = parameters_sha256(training.present.parameters)
        verdict = judged(recording, self._comparison, digest)
        reason = f"as the replayed run: cut off, here after step {training.steps_done}"
        result = training.result(
            cut_off="" if recording.lives[-1].is_whole else reason,
            ended_early=bool((recording.result or {}).get("ended_early")),
            replay_of=str(recording.directory.root),
            changes=list(recording.changes),
            is_same=verdict.is_same,
            replay_seconds=training.seconds,
        )
        return Replay(result, verdict.is_same, verdict.lines)


def _announce(recording: Recording, plan: Plan, directory: RunDirectory, total_steps: int) -> None:
    place, lives = Place(0, 1), recording.lives
    size = lives[0].schedule.size
    more = f", {len(lives)} lives" if len(lives) > 1 else ""
    place.speak(
        f"replay of {recording.directory.root}: {total_steps} steps of "
        f"{counted(size, 'rank')}{more}, in {directory.root}"
    )
    if plan.device.kind != "cpu":
        place.speak(f"device: {plan.device.text}")
    if recording.changes:
        place.speak(f"changed: {', '.join(recording.changes)}; the schedule is the same")
    if not lives[-1].is_whole:
        num_left = counted(lives[-1].num_left, "logged step")
        place.speak(
            f"the run was cut off or still runs; left out: {num_left} that come after a missing one"
        )
    for line in environment_changes(recording.facts, plan.device, plan.twin.label):
        place.speak(line)


def _device_of(recording: Recording) -> Device:
    """Return the device settings: what chose for itself then is to be what it was."""
    settings = recording.configs[-1].device
    was_cpu = str(recording.facts.get("device", "cpu")) == "cpu"
    if settings.kind == "auto" and was_cpu:
        return dataclasses.replace(settings, kind="cpu")
    return settings


def _first_plan(recording: Recording, model: Model | None, source: Data | None) -> Plan:
    """Return the plan of the first life; its model and data are those of the run."""
    first, config = recording.lives[0], recording.configs[0]
    start = Start(life=0, position=first.position)
    plan = make_plan(config, first.schedule.size, model=model, source=source, start=start)
    check_data(recording.facts, plan.source.digest)
    _check_layout(first, plan)
    if config.run.init_from is not None:
        checkpoint = _first_checkpoint(recording) or checkpoint_of(config.run.init_from)
        read_parameters_into(checkpoint, plan.model.layout, plan.initial)
    return plan


def _first_checkpoint(recording: Recording) -> Checkpoint | None:
    """Return the run's own checkpoint of its beginning: run.init_from may have gone on since."""
    found = Checkpoints(recording.directory.checkpoints).complete()
    return next((checkpoint for checkpoint in found if checkpoint.steps == 0), None)


def _check_layout(recorded: RecordedLife, plan: Plan) -> None:
    there, here = recorded.logs[0].attributes["layout"], layout_text(plan.model.layout)
    if there != here:
        message = (
            f"{recorded.logs[0].path}: the run's model has the layout {there}, the one of its run "
            f"file {here}; replay a script's model by mpitrain.replay(directory, model, data)"
        )
        raise UserError(message)
    batch_size = recorded.logs[0].attributes.get("batch_size", plan.order.batch_size)
    if batch_size != plan.order.batch_size:
        message = (
            f"the run cannot be replayed: its run file says data.batch_size = "
            f"{plan.order.batch_size}, {recorded.logs[0].path} {batch_size}; put it back"
        )
        raise UserError(message)
    num_shards = len(recorded.logs[0].shards)
    if num_shards != plan.shards.count:
        message = (
            f"{recorded.logs[0].path}: the log has {num_shards} shards, the run file gives "
            f"{plan.shards.count}"
        )
        raise UserError(message)
