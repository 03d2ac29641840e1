"""``train --or-resume``: whether the run directory that is named holds a run already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpitrain.config import Config, from_mapping, parsed
from mpitrain.config.text import read_toml
from mpitrain.core.errors import UserError
from mpitrain.result import Result
from mpitrain.running.resuming import LENGTH, is_done
from mpitrain.storage.run_directory import RunDirectory

_DIRECTORY = "run.directory"


@dataclass(frozen=True)
class Begun:
    """A run that is there already.

    Attributes:
        root: its directory.
        overrides: ``key=value`` to resume it with.
        result: what came out, without the parameters; None where it is not done.
    """

    root: Path
    overrides: tuple[str, ...]
    result: Result | None


def begun(config: Config, overrides: Sequence[str]) -> Begun | None:
    """Return the run that ``run.directory`` holds, None where it holds none.

    A run that is done is asked for more only where what decides its length has changed.

    Args:
        config: of the run, as if it were to begin.
        overrides: ``key=value``, as given beside the run file.

    Raises:
        UserError: no directory is named.

    Collective: no; rank 0 alone calls it.
    """
    if config.run.directory is None:
        message = f"--or-resume needs {_DIRECTORY}=..., to find the run in again"
        raise UserError(message)
    directory = RunDirectory(Path(config.run.directory).absolute())
    if not directory.run_toml.is_file():
        return None
    words = tuple(word for word in overrides if parsed(word)[0] != _DIRECTORY)
    result = None
    if is_done(directory) and _is_as_long(directory, words):
        result = Result(facts=directory.read_result() or {}, parameters={})
    return Begun(directory.root, words, result)


def _is_as_long(directory: RunDirectory, overrides: Sequence[str]) -> bool:
    run = from_mapping(read_toml(directory.run_toml)).run
    asked = dict(map(parsed, overrides))
    return all(asked.get(f"run.{key}", getattr(run, key)) == getattr(run, key) for key in LENGTH)
