"""The folder of a run's checkpoints: which of them count, in what order, and which to keep.

A checkpoint counts from the moment that its mark is renamed into place, and no longer once the mark
is removed. The newest is that of the largest (life, steps): a later life goes on from an earlier
one, so its checkpoints are newer also with fewer steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mpitrain.core.errors import CheckpointError
from mpitrain.storage import durable
from mpitrain.storage.checkpoint_deletion import delete
from mpitrain.storage.checkpoint_digest import Written, check_written, open_plain_file
from mpitrain.storage.checkpoint_errors import named, refusal
from mpitrain.storage.checkpoint_mark import (
    MARK,
    Checkpoint,
    check_present,
    folder_name,
    is_folder_name,
    read_mark,
    steps_of,
    write_mark,
)

__all__ = ["Checkpoint", "Checkpoints"]

_MOST_METRIC = 1e300  # also what is not finite is left out


class Checkpoints:
    """The folder RUNDIR/checkpoints, which need not exist.

    One process at a time changes the folder (all but :meth:`begin`); any number may look.

    Raises:
        CheckpointError: from every method that reads or changes the folder, when the file system
            refuses; one line that names the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, steps: int) -> Path:
        """Return the folder of the checkpoint at ``steps``. Collective: no."""
        return self.folder / folder_name(steps)

    def begin(self, steps: int) -> Path:
        """Make the folder for a checkpoint and return it; any rank may, at any time.

        Raises:
            CheckpointError: there is one with a mark, which is never written to again.

        Collective: no.
        """
        path = self.path(steps)
        with named(path, "cannot be made"):
            durable.make_folder(path)
            if _has_mark(path):
                raise refusal(path, "is there already, and a complete one is never overwritten")
        return path

    def complete(self) -> list[Checkpoint]:
        """Return those that count, oldest first: a valid mark, and all files of the right sizes.

        Collective: no.
        """
        return self._judged()[0]

    def newest(self) -> Checkpoint | None:
        """Return the newest that counts. Collective: no."""
        return max(self.complete(), key=lambda found: found.age, default=None)

    def sound(self) -> Checkpoint | None:
        """Return the newest that counts, None where nothing has a mark.

        Raises:
            CheckpointError: one with more steps, or the only one there is, is damaged.

        Collective: no.
        """
        complete, refused = self._judged()
        newest = complete[-1] if complete else None
        for name, error in refused:
            if newest is None or steps_of(name) > newest.steps:
                raise error
        return newest

    def refused(self) -> list[str]:
        """Return one line for each folder that has a mark and yet does not count.

        Collective: no.
        """
        return [str(error) for _, error in self._judged()[1]]

    def find(self, name_or_steps: str) -> Checkpoint:
        """Return the one of this name, ``step-000001200``, or number of steps, ``1200``.

        Raises:
            CheckpointError: there is none or it is damaged; lists those that there are.

        Collective: no.
        """
        complete, refused = self._judged()
        wanted = name_or_steps
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 20:
            wanted = folder_name(int(wanted))
        for checkpoint in complete:
            if checkpoint.name == wanted:
                return checkpoint
        for name, error in refused:
            if name == wanted:
                raise error
        names = ", ".join(checkpoint.name for checkpoint in complete) or "none"
        raise refusal(self.folder, f"no {name_or_steps[:80]!r} is there; there are: {names}")

    def check(self, checkpoint: Checkpoint, names: Iterable[str] | None = None) -> None:
        """Check size and SHA-256 of some files, by default all, in bounded memory.

        Raises:
            CheckpointError: one is missing or damaged; names it.

        Collective: no.
        """
        for name in checkpoint.files if names is None else names:
            path = checkpoint.path / name
            if name not in checkpoint.files:
                raise refusal(path, f"is not in {MARK}")
            with named(path, "cannot be read"):
                descriptor = open_plain_file(path)
                try:
                    check_written(path, descriptor, checkpoint.files[name])
                finally:
                    os.close(descriptor)

    def mark_complete(
        self, steps: int, life: int, files: Mapping[str, Written], facts: Mapping[str, Any]
    ) -> Checkpoint:
        """Make the checkpoint at ``steps`` count.

        Args:
            steps: of all ranks together.
            life: this one.
            files: all files of all ranks, each written; ``state.h5`` is among them.
            facts: what JSON can hold; finite numbers.

        Collective: no; one process, when all ranks have written.
        """
        checkpoint = Checkpoint(self.path(steps), steps, life, dict(files), dict(facts))
        write_mark(checkpoint)
        return checkpoint

    def prune(self, keep: int, keep_best: int = 0, *, larger_is_better: bool = True) -> list[str]:
        """Delete complete checkpoints but the newest and the best; return their names.

        Args:
            keep: number of the newest to keep, at least 1.
            keep_best: number of the best to keep, by the fact "metric"; those without one are not
                among them, and of equals the newer is better.
            larger_is_better: whether a larger metric is.

        Collective: no.
        """
        complete = self.complete()
        kept = {found.name for found in complete[-max(1, keep) :]}
        sign = 1 if larger_is_better else -1
        rated = [found for found in complete if _metric(found) is not None]
        rated.sort(key=lambda found: (sign * (_metric(found) or 0.0), found.age), reverse=True)
        kept |= {found.name for found in rated[:keep_best]}
        return self._delete([found.name for found in complete if found.name not in kept])

    def clear_debris(self) -> list[str]:
        """Delete what a killed writer left: folders without a mark; return their names.

        Collective: no; nobody writes a checkpoint here at the time.
        """
        return self._delete([path.name for path in self._folders() if not _has_mark(path)])

    def set_aside(self, after: Checkpoint) -> list[str]:
        """Rename what a run that goes on from ``after`` must not meet; return the new names.

        These are newer checkpoints, those with more steps, and those that have a mark but do not
        count.

        Collective: no.
        """
        complete, refused = self._judged()
        aside = {
            found.name: f"aside-life-{found.life:03d}-{found.name}"
            for found in complete
            if found.age > after.age or found.steps > after.steps
        }
        aside |= {name: f"aside-damaged-{name}" for name, _ in refused}
        return [self._rename(old, new) for old, new in aside.items()]

    def _rename(self, old: str, new: str) -> str:
        """Rename to ``new``, or ``new-2`` and so on where that is taken; return the name."""
        unique, number = self.folder / new, 1
        while unique.is_symlink() or unique.exists():
            number += 1
            unique = self.folder / f"{new}-{number}"
        with named(self.folder / old, "cannot be set aside"):
            (self.folder / old).rename(unique)
            durable.sync_folder(self.folder)
        return unique.name

    def _delete(self, names: list[str]) -> list[str]:
        """Delete these folders; return those of which anything was deleted."""
        deleted = []
        for name in names:
            with named(self.folder / name, "cannot be deleted"):
                if delete(self.folder / name):
                    deleted.append(name)
        return deleted

    def _folders(self) -> list[Path]:
        """Return what is named like a checkpoint and is a folder, no link."""
        with named(self.folder, "cannot be listed"):
            try:
                with os.scandir(self.folder) as entries:
                    return sorted(
                        Path(entry.path)
                        for entry in entries
                        if is_folder_name(entry.name) and entry.is_dir(follow_symlinks=False)
                    )
            except FileNotFoundError:
                return []

    def _judged(self) -> tuple[list[Checkpoint], list[tuple[str, CheckpointError]]]:
        """Return those that count, oldest first, and names and faults of the others."""
        complete, refused = [], []
        for path in self._folders():
            if not _has_mark(path):
                continue
            try:
                checkpoint = read_mark(path)
                check_present(checkpoint)
            except CheckpointError as error:
                if _has_mark(path):  # else another process deletes it just now
                    refused.append((path.name, error))
            else:
                complete.append(checkpoint)
        return sorted(complete, key=lambda found: found.age), refused


def _has_mark(folder: Path) -> bool:
    return os.path.lexists(folder / MARK)


def _metric(checkpoint: Checkpoint) -> float | None:
    """Return the fact "metric" where it is a finite number."""
    metric = checkpoint.facts.get("metric")
    if isinstance(metric, bool) or not isinstance(metric, int | float):
        return None
    return float(metric) if abs(metric) < _MOST_METRIC else None
