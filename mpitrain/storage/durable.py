"""Files that are there whole or not at all, also when the process or the machine stops.

Temporary file in the same folder, fsync, rename, fsync of the folder. A stop at any moment leaves
the old file, or the new one, and at worst a ``.NAME.part`` beside it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def reached(phase: str) -> None:
    """Do nothing: tests replace this by what stops the process there.

    Args:
        phase: "temporary" (the temporary file is open), "data" (half of the bytes are written),
            "fsync" (before it), "rename" (before it), "completion" (before the rename that makes a
            checkpoint count), "pruning" (while an old checkpoint is deleted).
    """


@contextlib.contextmanager
def replaced(path: Path, *, last_phase: str = "rename") -> Iterator[int]:
    """Give a descriptor to write to; what was written becomes ``path`` when the block ends well.

    Otherwise the temporary file is removed and ``path`` stays as it was.

    Raises:
        OSError: the file system refuses.

    Collective: no; one process writes a path.
    """
    part = part_path(path)
    part.unlink(missing_ok=True)  # a killed writer's; never opened, as it may be a link
    descriptor = os.open(part, _NEW_FILE, 0o666)
    try:
        try:
            reached("temporary")
            yield descriptor
            reached("fsync")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        reached(last_phase)
        part.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, *, last_phase: str = "rename") -> None:
    """Replace ``path`` by a file that holds ``data``.

    Raises:
        OSError: the file system refuses; the old file is still there.

    Collective: no; one process writes a path.
    """
    half = len(data) // 2
    with replaced(path, last_phase=last_phase) as descriptor:
        write_all(descriptor, data[:half])
        reached("data")
        write_all(descriptor, data[half:])


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, where one call of the system may write fewer.

    Args:
        descriptor: open for writing.
        data: of single bytes.

    Collective: no.
    """
    written = 0
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def part_path(path: Path) -> Path:
    """Return the temporary name under which ``path`` is written."""
    return path.with_name(f".{path.name}.part")


def make_folder(folder: Path) -> None:
    """Make the folder and its missing parents so that they outlast a crash; it may exist.

    Raises:
        OSError: the file system refuses, or something else has that name.

    Collective: no; any number of processes may make the same one.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)  # another process may be faster
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error
    sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Make what was written to a file outlast a crash. Collective: no."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or deleted in a folder outlast a crash.

    Collective: no.
    """
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
