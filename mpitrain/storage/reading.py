"""Reading staleness logs back: of running, killed and finished runs, over all lives.

``open_log(RUNDIR)`` looks at every log file once, checks that it has the shape a log must have, and
keeps its path, attributes and number of rows. Columns are read when they are asked for and cut to
that number, so what a :class:`RankLog` says does not change while the run goes on; open it again to
see more. No file stays open.

A file that is missing or cannot be read does not stop the others from being read: it is listed in
``LifeLog.missing`` with the reason.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mpitrain.core.errors import LogError
from mpitrain.storage.life_log import LifeLog, read_life
from mpitrain.storage.rank_log import Event, RankLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.timeline import Segment, Stretch, chain_of, segments_of_rank

__all__ = ["Event", "LifeLog", "RankLog", "RunLog", "Segment", "Stretch", "open_log"]


def open_log(directory: str | Path, *, log_root: str | Path | None = None) -> RunLog:
    """Open the staleness logs of a run.

    Args:
        directory: the run directory.
        log_root: folder of the logs; default: ``log.directory`` of its run.toml, where the run
            wrote them, else ``directory/log``.

    Raises:
        LogError: there is no log of any life, or a folder cannot be read.

    Collective: no.
    """
    run, lives = find_lives(Path(directory), None if log_root is None else Path(log_root))
    return RunLog(run, [read_life(run, life) for life in lives])


def find_lives(root: Path, log_root: Path | None = None) -> tuple[RunDirectory, list[int]]:
    """Return where a run is and which lives have a folder of logs; arguments as ``open_log``.

    Raises:
        LogError: there is no log of any life, or the folder of the logs cannot be read.

    Collective: no.
    """
    run = RunDirectory(root, configured_log_root(root) if log_root is None else log_root)
    if not run.root.is_dir():
        message = f"{run.root} is no run directory: there is no such folder"
        raise LogError(message)
    lives = _lives_in(run)
    if not lives:
        message = f"{run.root} holds no staleness log: there is no folder {run.log / 'life-000'}"
        raise LogError(message)
    return run, lives


def _lives_in(run: RunDirectory) -> list[int]:
    try:
        paths = list(run.log.iterdir()) if run.log.is_dir() else []
    except OSError as error:
        message = f"{run.log}: cannot be read: {error.strerror}"
        raise LogError(message) from error
    return sorted(
        life
        for path in paths
        if (found := re.fullmatch(r"life-(\d{3,9})", path.name))
        and path == run.life_directory(life := int(found[1]))
        and path.is_dir()
        and not path.is_symlink()
    )


def configured_log_root(root: Path) -> Path | None:
    """Return the folder of the logs that run.toml names, None for the usual one."""
    try:
        with (root / "run.toml").open("rb") as file:
            place = tomllib.load(file).get("log", {}).get("directory")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return Path(place) if isinstance(place, str) else None


@dataclass(frozen=True)
class RunLog:
    """The logs of all lives of a run."""

    directory: RunDirectory
    lives: list[LifeLog]

    @cached_property
    def chain(self) -> list[Stretch]:
        """The lives on the timeline, oldest first, with the number of rows of each rank.

        Raises:
            LogError: a life on it is missing.
        """
        chain, reason = chain_of(self.lives)
        if reason is not None:
            message = f"{self.directory.root}: the timeline breaks off: {reason}"
            raise LogError(message)
        return chain

    def timeline(self, rank: int) -> list[Segment]:
        """Return the rows of ``rank`` that count, life by life; lives without this rank have none.

        Raises:
            LogError: a life, or a log of the rank, is missing or is too short.
        """
        segments = segments_of_rank(self.chain, rank)
        if not segments:
            life = self.chain[-1].life.life if self.chain else 0
            message = f"{self.directory.log_path(life, rank)} is missing"
            raise LogError(message)
        return segments
