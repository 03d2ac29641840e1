"""What can go wrong, by who can do something about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

USER_MISTAKE = 2  # exit codes of the command line
FAILED = 1
STOPPED = 3


class MpitrainError(Exception):
    """Any error that this package raises on purpose.

    Attributes:
        is_agreed: every rank raises it at the same place, so one of them may speak for all, and
            none needs to be stopped by another.
        is_clean_end: every rank is at a step boundary, so that all its steps are in its log.
    """

    is_agreed = False
    is_clean_end = False


_MOST_CHARACTERS = 300

Error = TypeVar("Error", bound=MpitrainError)


class UserError(MpitrainError, ValueError):
    """A mistake in what the user gave; on the command line one line and exit code 2."""


class StallError(MpitrainError):
    """A wait took longer than ``mode.limit_s``; names the rank that was waited for."""


class StoppedError(MpitrainError):
    """The run was asked to stop and did, with a checkpoint to go on from; every rank raises it.

    Attributes:
        steps: steps of all ranks since the start of the run.
        checkpoint: path of the checkpoint.
    """

    is_agreed = True
    is_clean_end = True

    def __init__(self, message: str, steps: int, checkpoint: str) -> None:
        super().__init__(message)
        self.steps = steps
        self.checkpoint = checkpoint


class NoSharedMemoryError(MpitrainError):
    """The MPI library gives no memory that the ranks of a host share."""


class ClosedError(MpitrainError):
    """Something was used after its ``close``."""


class LogError(MpitrainError):
    """A log or run directory cannot be read; names the file."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or used; one line that names the file."""


def agreed(error: Error) -> Error:
    """Return ``error``, marked as one that every rank raises at the same place."""
    error.is_agreed = True
    return error


_SYSTEM_REASON = re.compile(r"error message = '([^']+)'")  # inside HDF5's words


def reason(error: Exception) -> str:
    """Return why, in one line of bounded length: the system's words, else those of the error."""
    if system := _SYSTEM_REASON.search(str(error)):
        return _lowered(system[1])
    if isinstance(error, OSError) and error.strerror:
        return _lowered(error.strerror)
    is_quoted = isinstance(error, KeyError) and error.args
    return _one_line(str(error.args[0] if is_quoted else error)) or type(error).__name__


def _lowered(text: str) -> str:
    return _one_line(text[0].lower() + text[1:])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_CHARACTERS]


def unknown(what: str, name: str, valid: Iterable[str]) -> UserError:
    """Return the error that says which names there are.

    Args:
        what: kind of thing that was named, for example "mode".
        name: what the user wrote.
        valid: all names that exist, in any order.
    """
    return UserError(f"unknown {what} {name!r}; choose from: {', '.join(sorted(valid))}")
