"""Deleting checkpoints: the mark first, only names of our own, never through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mpitrain.storage import durable
from mpitrain.storage.checkpoint_mark import MARK, is_file_name


def delete(folder: Path) -> bool:
    """Delete a checkpoint so that at no moment a part of it counts; tell whether anything was.

    Names that are not of a checkpoint stay, and with them the folder, which then no longer counts.

    Raises:
        OSError: the file system refuses.

    Collective: no; one process deletes.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names = _names(descriptor)
        if MARK in names:
            os.unlink(MARK, dir_fd=descriptor)
            os.fsync(descriptor)
        ours = [name for name in names if _is_ours(descriptor, name)]
        for number, name in enumerate(ours):
            if number == len(ours) // 2:
                durable.reached("pruning")
            os.unlink(name, dir_fd=descriptor)
        is_empty = not _names(descriptor)
    finally:
        os.close(descriptor)
    if is_empty:
        folder.rmdir()
        durable.sync_folder(folder.parent)
    return is_empty or bool(ours)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _is_ours(folder: int, name: str) -> bool:
    """Tell whether a checkpoint has files of this name, finished or not; links are removed too."""
    known = name
    if name.startswith(".") and name.endswith(".part"):
        known = name.removeprefix(".").removesuffix(".part")
    if not (is_file_name(known) or (known == MARK and known != name)):
        return False
    return not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
