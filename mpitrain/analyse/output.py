"""A file that a tool writes: refused before anything is read, or there whole, or not at all."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mpitrain.core.errors import UserError

EXTRA = "pip install 'mpitrain[tools]'"


def check_output(option: str, path: Path, endings: Sequence[str] = ("",)) -> None:
    """Refuse what a tool cannot write to, before it reads a log.

    Args:
        option: that names the file.
        path: the file.
        endings: that its name may have.

    Raises:
        UserError: another ending, a folder, or a folder that is not there.
    """
    if not path.name.endswith(tuple(endings)):
        few = " or ".join(endings) if len(endings) < 3 else f"one of {', '.join(endings)}"
        message = f"{option} must end in {few}, got {path}"
        raise UserError(message)
    if path.is_dir() or not path.parent.is_dir():
        fault = "is a directory" if path.is_dir() else "no such file or directory"
        message = f"{option} {path}: {fault}"
        raise UserError(message)


def check_library(library: str, what: str) -> None:
    """Refuse what needs a library that is not installed.

    Args:
        library: to be imported.
        what: needs it, as a sentence begins.

    Raises:
        UserError: it is not there; says how to install it.
    """
    if importlib.util.find_spec(library) is None:
        message = f"{what} needs {library}: {EXTRA}"
        raise UserError(message)


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
