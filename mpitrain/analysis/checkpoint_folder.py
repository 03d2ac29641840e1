"""What lies in the folder of a run's checkpoints, complete or not, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.core.errors import CheckpointError, UserError, reason
from mpitrain.storage.checkpoint_mark import (
    MARK,
    Checkpoint,
    check_present,
    is_folder_name,
    read_mark,
)
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.run_directory import check_is_run

COMPLETE, UNFINISHED, DAMAGED = "complete", "unfinished", "damaged"


@dataclass(frozen=True)
class Found:
    """One folder of a checkpoint.

    Attributes:
        path: the folder.
        state: "complete": it counts; "unfinished": without a mark, it is being written or was left
            by a killed job; "damaged": it has a mark and does not count.
        fault: why it is damaged; empty otherwise.
        checkpoint: what its mark says, where it counts.
    """

    path: Path
    state: str
    fault: str = ""
    checkpoint: Checkpoint | None = None

    @property
    def size_bytes(self) -> int | None:
        """Size of all files, where it counts."""
        if self.checkpoint is None:
            return None
        return sum(file.size_bytes for file in self.checkpoint.files.values())


def checkpoints_in(place: Path) -> list[Found]:
    """Return what there is at a place, the oldest first: complete ones in order, then others.

    Args:
        place: a run directory, its folder of checkpoints, or the folder of one checkpoint.

    Raises:
        UserError: it is none of these, or the folder cannot be read.
    """
    if is_folder_name(place.name):
        if not place.is_dir():
            message = f"there is no checkpoint {place}"
            raise UserError(message)
        return [_look(place)]
    if place.name != "checkpoints":
        check_is_run(place)
        place = place / "checkpoints"
    found = [_look(path) for path in _folders(place)]
    return sorted(found, key=lambda one: (one.checkpoint is None, _age(one)))


def check_files(found: Found) -> Found:
    """Return the same with a state that counts every byte: sizes and SHA-256 of all files."""
    if found.checkpoint is None:
        return found
    try:
        Checkpoints(found.path.parent).check(found.checkpoint)
    except CheckpointError as error:
        return Found(found.path, DAMAGED, str(error))
    return found


def metric_of(facts: dict[str, Any]) -> tuple[str, float] | None:
    """Return name and value of the metric that a checkpoint was judged by."""
    name, value = facts.get("metric_name"), facts.get("metric")
    if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return name, float(value)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        message = f"{folder} cannot be read: {reason(error)}"
        raise UserError(message) from error
    return (path for path in entries if is_folder_name(path.name) and path.is_dir())


def _look(path: Path) -> Found:
    if not (path / MARK).exists():
        return Found(path, UNFINISHED)
    try:
        checkpoint = read_mark(path)
        check_present(checkpoint)
    except CheckpointError as error:
        return Found(path, DAMAGED, str(error))
    return Found(path, COMPLETE, "", checkpoint)


def _age(found: Found) -> tuple[int, int, str]:
    life, steps = (0, 0) if found.checkpoint is None else found.checkpoint.age
    return life, steps, found.path.name
