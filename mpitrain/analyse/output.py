"""A file that a tool writes: it is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the place of ``path`` when the block ends well.

    What is no plain file, for example a pipe, is written to as it is.

    Raises:
        OSError: it cannot be written; names ``path``. Nothing is left, and an old file stays.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
            return
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("xb") as file:
                yield file
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        error.filename = str(path)
        raise


def size_bytes(path: Path) -> int | None:
    """Return the size of a plain file, None for what is none."""
    return path.stat().st_size if path.is_file() else None
