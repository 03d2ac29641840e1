"""Repair: logs that a killed writer left marked as open become ordinary HDF5 files.

HDF5 lets only readers of the single-writer-multiple-reader kind open such a file, which most tools
are not. A repaired log has the same attributes, arrays, rows and events, and still does not count
as closed by its writer: rows may be lacking. It is written beside the old one, read back, and then
put in its place, so that a stop at any moment leaves one or the other.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mpitrain.core.errors import LogError
from mpitrain.storage.durable import part_path, reached, sync_file, sync_folder
from mpitrain.storage.life_log import ranks_found
from mpitrain.storage.log_file import LogFile
from mpitrain.storage.opening import is_marked_open, opened
from mpitrain.storage.plain_data import read_rows
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.reading import find_lives
from mpitrain.storage.schema import EVENT_COLUMNS
from mpitrain.storage.start import StartMarks

Columns = dict[str, npt.NDArray[Any]]


def repair_run(directory: Path) -> list[str]:
    """Rewrite every log of a run that a killed writer left open; the run must not be running.

    Files that are fine stay untouched. Files that cannot be read, or cannot be written anew, are
    named and stay as they are.

    Args:
        directory: the run directory.

    Returns:
        one line per file, in the order of lives and ranks.

    Raises:
        LogError: there is no log of any life, or a folder cannot be read.

    Collective: no; one process does it.
    """
    run, lives = find_lives(directory)
    paths = [run.log_path(life, rank) for life in lives for rank in sorted(ranks_found(run, life))]
    return [f"{path}: {_repair(path)}" for path in paths]


def _repair(path: Path) -> str:
    """Repair a log if it needs it, and return what was done."""
    part = part_path(path)
    try:
        part.unlink(missing_ok=True)  # of a repair that was killed
        log = RankLog(path)
        if not is_marked_open(path):
            return f"fine, {_counts(log)}"
        columns, events = dict(log.steps), _event_columns(log)
        _write(log, columns, events, part)
        _check_same(log, RankLog(part))
        _put_in_place(part, path)
    except LogError as error:
        return f"left as it is: {str(error).removeprefix(f'{path}: ')}"
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        return f"left as it is: it cannot be written anew: {' '.join(str(error).split())}"
    return f"repaired, {_counts(log)}"


def _write(log: RankLog, columns: Columns, events: Columns, part: Path) -> None:
    """Write what a log holds to an ordinary file.

    Raises:
        OSError: the file system refuses.
    """
    start = log.start
    marks = StartMarks(start.clocks, start.cut, start.deal.holes) if log.has_start else None
    reached("temporary")
    file = LogFile(part, log.attributes, log.shards, per_shard=log.per_shard, start=marks)
    try:
        if log.num_rows:
            file.write_steps(columns)
        reached("data")
        if log.num_events:
            file.write_events(events)
        file.close(is_complete=log.is_closed)
    except Exception as error:
        file.abandon()
        raise OSError(str(error)) from error


def _event_columns(log: RankLog) -> Columns:
    with opened(log.path) as file:
        return {
            name: read_rows(log.path, file, f"events/{name}", log.num_events)
            for name in EVENT_COLUMNS
        }


def _check_same(old: RankLog, new: RankLog) -> None:
    """Read the new file back.

    Raises:
        OSError: it differs.
    """
    is_same = (
        old.start.facts() == new.start.facts()
        and old.attributes.keys() == new.attributes.keys()
        and (old.shards == new.shards).all()
        and str(old.events) == str(new.events)
        and all(old.steps[name].tobytes() == new.steps[name].tobytes() for name in old.steps)
    )
    if not is_same:
        message = "what was written does not read back the same"
        raise OSError(message)


def _put_in_place(part: Path, path: Path) -> None:
    part.chmod(path.stat().st_mode & 0o777)
    reached("fsync")
    sync_file(part)
    reached("rename")
    part.replace(path)
    sync_folder(path.parent)


def _counts(log: RankLog) -> str:
    return f"{log.num_rows} rows and {log.num_events} events"
