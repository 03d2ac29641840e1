"""Whatever goes wrong with a checkpoint, as one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpitrain.core.errors import CheckpointError, reason


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
