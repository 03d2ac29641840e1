"""Schedules in HDF5 files, written whole and read with suspicion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError, reason
from mpitrain.schedules.schedule import TIMES, Counts, Schedule
from mpitrain.storage.arrays_file import ArrayFile, write_arrays

SCHEMA = 1
KIND = "mpitrain schedule"
ROWS = ("rank", "clock", "ticket", "read", "written", "lead")
CHUNK_ROWS = 1 << 16
MOST_RANKS = 100_000


def write_schedule(path: str | Path, schedule: Schedule) -> None:
    """Write a schedule to an HDF5 file: a dataset per array, times in the group ``times``.

    Raises:
        UserError: the file cannot be written.
    """
    times = {f"times/{name}": column for name, column in schedule.times.items()}
    try:
        write_arrays(
            path,
            {name: getattr(schedule, name) for name in ROWS} | times,
            attributes={
                "kind": KIND,
                "schema": SCHEMA,
                "size": schedule.size,
                "first_version": schedule.first_version,
                "is_collective": int(schedule.is_collective),
            },
            chunk_rows=CHUNK_ROWS,
            compression="gzip",
        )
    except OSError as error:
        message = f"schedule {path}: cannot be written: {reason(error)}"
        raise UserError(message) from error


def read_schedule(path: str | Path) -> Schedule:
    """Read a schedule and check that a run can follow it.

    Raises:
        UserError: it is none, is damaged, or contradicts itself; names the file.
    """
    try:
        schedule = _read(path)
        fault = fault_of(schedule)
    except UserError:
        raise
    except Exception as error:  # HDF5 on a damaged file raises nearly everything
        message = f"{path}: cannot be read, the file is damaged: {reason(error)}"
        raise UserError(message) from error
    if fault:
        message = f"{path}: no run can follow this schedule: {fault}"
        raise UserError(message)
    return schedule


def _read(path: str | Path) -> Schedule:
    with ArrayFile(path) as file:
        facts = file.attributes
        found = (str(facts.get("kind")), str(facts.get("schema")))
        if found != (KIND, str(SCHEMA)):
            what = f"kind {found[0]!r:.40} and schema {found[1]:.10}"
            message = f"{path}: a schedule of schema {SCHEMA} is expected, found {what}"
            raise UserError(message)
        arrays = {name: _whole_numbers(path, name, file.read(name)) for name in ROWS}
        there = [name for name in TIMES if f"times/{name}" in file.keys]
        times = {name: file.read(f"times/{name}").astype(np.float64) for name in there}
    return Schedule(
        is_collective=bool(facts["is_collective"]),
        size=int(facts["size"]),
        first_version=int(facts["first_version"]),
        times=times,
        **arrays,
    )


def _whole_numbers(path: str | Path, name: str, array: npt.NDArray[Any]) -> Counts:
    if array.dtype.kind not in "iu":
        message = f"{path}: {name} must hold whole numbers, found {array.dtype}"
        raise UserError(message)
    return array.astype(np.int64, copy=False)


def fault_of(schedule: Schedule) -> str:
    """Return why no run can follow a schedule from its begin on, empty where one can."""
    return _fault_of_shapes(schedule) or _fault_of_rows(schedule) or _fault_of_versions(schedule)


def _fault_of_shapes(schedule: Schedule) -> str:
    num, read, written = schedule.num_updates, schedule.read, schedule.written
    rows = [schedule.rank, schedule.clock, schedule.ticket, schedule.lead, *schedule.times.values()]
    if any(array.shape != (num,) for array in rows):
        return "its arrays have different lengths"
    if read.ndim != 2 or read.shape != written.shape or len(read) != num or not read.size:
        return "read and written must be (rows, shards) alike, with at least one of each"
    if not 1 <= schedule.size <= MOST_RANKS:
        return f"size must be in [1, {MOST_RANKS}], got {schedule.size}"
    if schedule.first_version:
        return f"it must begin with the run, at version 0, got {schedule.first_version}"
    return ""


def _fault_of_rows(schedule: Schedule) -> str:
    rank, clock, lead = schedule.rank, schedule.clock, schedule.lead
    if not 0 <= rank.min() <= rank.max() < schedule.size:
        return f"ranks must be in [0, {schedule.size})"
    is_first = np.concatenate([[True], rank[1:] != rank[:-1]])
    steps = np.diff(clock, prepend=0)
    if (np.diff(rank) < 0).any() or (steps[~is_first] != 1).any() or clock[is_first].any():
        return "rows must be in order of rank, then clock from 0 on without gap"
    if (np.sort(schedule.ticket) != np.arange(len(rank))).any():
        return "each ticket from 0 on must be taken exactly once"
    if ((lead < 0) | (lead > clock)).any():
        return "leads must be >= 0 and <= the clock"
    if not all((np.isfinite(column) & (column >= 0)).all() for column in schedule.times.values()):
        return "times must be >= 0 and finite"
    return ""


def _fault_of_versions(schedule: Schedule) -> str:
    """Check that every version is made once, and that no rank goes back."""
    num, read, written = schedule.num_updates, schedule.read, schedule.written
    if (read < 0).any() or (read >= written).any():
        return "a version that is read must be there before the one that is written"
    if schedule.is_collective:
        counts = np.bincount(schedule.rank, minlength=schedule.size)
        wanted = schedule.clock[:, np.newaxis]
        is_right = (read == wanted).all() and (written == wanted + 1).all()
        return "" if is_right and np.ptp(counts) == 0 else "all ranks must make a version together"
    if (np.sort(written, axis=0) != 1 + np.arange(num)[:, np.newaxis]).any():
        return "each version of each shard must be made exactly once"
    same = schedule.rank[1:] == schedule.rank[:-1]
    if (np.diff(written, axis=0)[same] <= 0).any() or (np.diff(read, axis=0)[same] < 0).any():
        return "the versions of a rank must not go back"
    if (read[1:] < written[:-1])[same].any():
        return "a rank must read its own updates"
    return ""
