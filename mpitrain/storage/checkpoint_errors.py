"""Whatever goes wrong with a checkpoint, as one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpitrain.core.errors import CheckpointError

_MOST_CHARACTERS = 300


@contextmanager
def named(path: Path, cannot: str) -> Iterator[None]:
    """Turn what the block raises into a ``CheckpointError``; one of these passes as it is.

    Args:
        path: what the block works on.
        cannot: what then cannot be done, for example "cannot be written".

    Raises:
        CheckpointError: the block failed, in whatever way.

    Collective: no.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # HDF5 on a damaged file raises nearly everything
        raise refusal(path, f"{cannot}: {reason(error)}") from error


def refusal(path: Path, problem: str) -> CheckpointError:
    """Return the error that names the file and the problem, in one line that any terminal bears."""
    line = " ".join(f"checkpoint {path}: {problem}".split())
    return CheckpointError("".join(c if c.isprintable() else "?" for c in line))


def reason(error: Exception) -> str:
    """Return why, in one line of bounded length: the system's words, else those of the error."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    is_quoted = isinstance(error, KeyError) and error.args
    text = str(error.args[0] if is_quoted else error)
    return " ".join(text.split())[:_MOST_CHARACTERS] or type(error).__name__
