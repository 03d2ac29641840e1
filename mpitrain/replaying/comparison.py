"""Whether a replay took the recorded run's way: losses step by step, parameters where known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.console import counted
from mpitrain.core.errors import CheckpointError
from mpitrain.core.layout import Layout
from mpitrain.modes.record import StepRecord
from mpitrain.replaying.recording import Recording
from mpitrain.result import parameters_sha256
from mpitrain.running.checkpoint_content import read_parameters_into, read_position
from mpitrain.schedules.recorded import RecordedLife
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.run_directory import RunDirectory


@dataclass
class Comparison:
    """What was found equal and what not.

    Attributes:
        first_loss: where a loss or norm differs first, for people; None where none does.
        num_losses: steps whose loss and norms were compared.
        same: names of the recorded checkpoints with the same parameters.
        other: names of those with other ones.
        largest: largest absolute difference of a parameter from the newest recorded checkpoint.
    """

    first_loss: str | None = None
    num_losses: int = 0
    same: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    largest: float = 0.0

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return self.first_loss is None and not self.other

    def look(self, life: RecordedLife, row: int, record: StepRecord) -> None:
        """Compare loss and norms of a step with the logged ones."""
        self.num_losses += 1
        for name, column in life.figures.items():
            logged, found = float(column[row]), float(np.float32(getattr(record, name)))
            is_equal = logged == found or (math.isnan(logged) and math.isnan(found))
            if not is_equal and self.first_loss is None:
                log, at = life.place_of(row)
                said = f"logged {name} {logged:.9g}, replayed {found:.9g}"
                self.first_loss = f"{log.path} row {at}: {said}"

    def look_at(self, checkpoint: Checkpoint, layout: Layout, found: npt.NDArray[Any]) -> None:
        """Compare parameters with those of a recorded checkpoint."""
        recorded = np.empty_like(found)
        read_parameters_into(checkpoint, layout, recorded)
        if parameters_sha256(recorded) == parameters_sha256(found):
            self.same.append(checkpoint.name)
        else:
            self.other.append(checkpoint.name)
            self.largest = float(np.abs(recorded - found).max(initial=0.0))


def marks_of(run: RunDirectory, life: RecordedLife) -> Iterator[tuple[int, Checkpoint]]:
    """Yield version and checkpoint of those that a life wrote, oldest first.

    What is damaged, or beyond the life's end on the timeline, is left out.
    """
    for checkpoint in Checkpoints(run.checkpoints).complete():
        if checkpoint.life != life.life:
            continue
        try:
            version = read_position(checkpoint)[0].version
        except CheckpointError:
            continue
        if version <= life.schedule.last_version:
            yield version, checkpoint


@dataclass(frozen=True)
class Verdict:
    """Whether a replay is the recorded run.

    Attributes:
        is_same: nothing that is known of the run differs; None where something was changed.
        lines: what was found, for people.
    """

    is_same: bool | None
    lines: list[str]


def judged(recording: Recording, found: Comparison, digest: str) -> Verdict:
    """Return the verdict on a replay that ended with parameters of this SHA-256."""
    if recording.changes:
        return Verdict(None, [f"parameters SHA-256 {digest}; the schedule is that of the run"])
    wanted = _wanted(recording)
    is_same = found.is_same and wanted in (None, digest)
    lines = []
    if wanted is None:
        lines.append(f"parameters SHA-256 {digest}; the run has no result to compare with")
    elif wanted == digest:
        lines.append(f"parameters SHA-256 {digest}, the same as the run's")
    else:
        lines.append(f"parameters SHA-256 {digest}, the run's are {wanted}: they DIFFER")
    if found.first_loss is None:
        lines.append(
            f"losses and norms of {counted(found.num_losses, 'step')} and {_checkpoints(found)}"
        )
    else:
        lines.append(f"the first step whose loss or norm differs: {found.first_loss}")
    if found.other:
        lines.append(
            f"parameters differ from checkpoint {found.other[0]} on; largest difference "
            f"{found.largest:.3g} at {found.other[-1]}"
        )
    return Verdict(is_same, lines)


def _wanted(recording: Recording) -> str | None:
    """Return the SHA-256 that the run ended with, as far as the replay goes."""
    result, last = recording.result, recording.lives[-1]
    if result is None or result.get("life") != last.life or last.num_left:
        return None
    return str(result.get("parameters_sha256"))


def _checkpoints(found: Comparison) -> str:
    if not found.same:
        return "no checkpoint: all that is known is the same"
    return f"{counted(len(found.same), 'checkpoint')} compared: all the same"
