"""A checkpoint for people: its parameters by name, and what it says of itself; needs no MPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.running.checkpoint_content import MOST_BYTES, PARAMETERS, read_position
from mpitrain.storage.checkpoint_errors import refusal
from mpitrain.storage.checkpoint_file import CheckpointFile
from mpitrain.storage.checkpoint_mark import STATE
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.run_directory import run_around


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedCheckpoint:
    """What a checkpoint holds.

    Attributes:
        path: its folder.
        parameters: name -> array in its shape, host, in the order of the flat vector.
        steps: of all ranks since the start of the run.
        life: that wrote it.
        versions: (S,) int64, updates in each shard.
        metric_name: what was measured on the test samples, None where nothing was: it is only for
            ``checkpoint.keep_best``.
        metric: its value, None where nothing was measured or it was no finite number.
        facts: everything that was noted with it, among it run id and time.
    """

    path: Path
    parameters: Mapping[str, npt.NDArray[Any]]
    steps: int
    life: int
    versions: npt.NDArray[np.int64]
    metric_name: str | None
    metric: float | None
    facts: Mapping[str, Any]


def load_checkpoint(place: str | Path) -> LoadedCheckpoint:
    """Read a checkpoint, from a stranger even: sizes and SHA-256 first, and no code is run.

    Args:
        place: a run directory, for its newest complete checkpoint, or the folder of a checkpoint.

    Raises:
        UserError: there is none.
        CheckpointError: it is damaged; names the file.

    Collective: no.
    """
    checkpoint = checkpoint_at(place)
    read_position(checkpoint)  # checks size and SHA-256; refuses what is no state of a run
    with CheckpointFile(checkpoint.path / STATE) as file:
        parameters = _read_parameters(file, checkpoint.files[STATE].size_bytes)
        versions = file.read("versions", most_bytes=MOST_BYTES)
    facts = checkpoint.facts
    name, metric = facts.get("metric_name"), facts.get("metric")
    return LoadedCheckpoint(
        path=checkpoint.path,
        parameters=MappingProxyType(parameters),
        steps=checkpoint.steps,
        life=checkpoint.life,
        versions=versions,
        metric_name=name if isinstance(name, str) else None,
        metric=metric if isinstance(metric, float) else None,
        facts=MappingProxyType(facts),
    )


def checkpoint_at(place: str | Path) -> Checkpoint:
    """Return the checkpoint in a folder, or a run directory's newest; its files are unread.

    Raises:
        UserError: there is none.
        CheckpointError: it, or the only one there is, is damaged.

    Collective: no.
    """
    path = Path(place).absolute()
    if path.name.startswith("step-"):
        return Checkpoints(path.parent).find(path.name)
    folder = Checkpoints(path / "checkpoints")
    found = folder.sound()
    if found is None:
        around = run_around(path)
        message = f"there is no complete checkpoint in {folder.folder}"
        if around is not None:
            message += f"; give the run directory, {around}, or one of its checkpoints' folders"
        raise UserError(message)
    return found


def _read_parameters(file: CheckpointFile, most_bytes: int) -> dict[str, npt.NDArray[Any]]:
    names = [name for name in file.keys if name.startswith(f"{PARAMETERS}/")]
    offsets = {name: file.offset(name) for name in names}
    if any(offset is None for offset in offsets.values()):
        raise refusal(file.path, "a parameter has no offset")
    try:
        return {
            name.removeprefix(f"{PARAMETERS}/"): file.read(name, most_bytes=most_bytes)
            for name in sorted(names, key=lambda name: offsets[name] or 0)
        }
    except MemoryError as error:
        raise refusal(file.path, "its parameters are larger than this machine's memory") from error
