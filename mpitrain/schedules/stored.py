"""Schedules in HDF5 files, written whole and read with suspicion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mpitrain.core.errors import UserError, reason
from mpitrain.schedules.schedule import TIMES, Schedule
from mpitrain.storage.arrays_file import ArrayFile, write_arrays

SCHEMA = 1
KIND = "mpitrain schedule"
ROWS = ("rank", "clock", "ticket", "read", "written", "lead")
CHUNK_ROWS = 1 << 16


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
        UserError: it is none, or contradicts itself; names the file.
    """
    with ArrayFile(path) as file:
        facts = file.attributes
        if facts.get("kind") != KIND or facts.get("schema") != SCHEMA:
            what = f"kind {facts.get('kind')!r} and schema {facts.get('schema')!r}"
            message = f"{path}: a schedule of schema {SCHEMA} is expected, found {what}"
            raise UserError(message)
        arrays = {name: file.read(name).astype(np.int64, copy=False) for name in ROWS}
        there = [name for name in TIMES if f"times/{name}" in file.keys]
        times = {name: file.read(f"times/{name}").astype(np.float64) for name in there}
    schedule = Schedule(
        is_collective=bool(facts.get("is_collective")),
        size=int(facts.get("size", 0)),
        first_version=int(facts.get("first_version", 0)),
        times=times,
        **arrays,
    )
    fault = fault_of(schedule)
    if fault:
        message = f"{path}: no run can follow this schedule: {fault}"
        raise UserError(message)
    return schedule


def fault_of(schedule: Schedule) -> str:
    """Return why no run can follow a schedule, empty where one can."""
    num, first = schedule.num_updates, schedule.first_version
    rows = [schedule.rank, schedule.clock, schedule.ticket, schedule.lead, *schedule.times.values()]
    if any(array.shape != (num,) for array in rows):
        return "its arrays have different lengths"
    read, written = schedule.read, schedule.written
    if read.ndim != 2 or read.shape != written.shape or len(read) != num or not read.shape[1]:
        return "read and written must be (rows, shards) alike"
    if num and not (0 <= schedule.rank.min() <= schedule.rank.max() < schedule.size):
        return f"ranks must be in [0, {schedule.size})"
    same = schedule.rank[1:] == schedule.rank[:-1]
    steps = np.diff(schedule.clock)
    if (np.diff(schedule.rank) < 0).any() or (steps[same] != 1).any():
        return "rows must be in order of rank, then clock, without gap"
    if num and (schedule.ticket.min() < 0 or schedule.clock.min() < 0):
        return "tickets and clocks must be >= 0"
    if num and ((read < first).any() or (read >= written).any()):
        return "a version that is read must be there before the one that is written"
    return _fault_of_versions(schedule)


def _fault_of_versions(schedule: Schedule) -> str:
    """Check that every version is made once, and that no rank goes back."""
    num, first = schedule.num_updates, schedule.first_version
    if schedule.is_collective:
        counts = np.bincount(schedule.rank, minlength=schedule.size)
        is_even = (counts == counts[0]).all()
        wanted = (schedule.clock - schedule.clock.min(initial=0) + first)[:, np.newaxis]
        is_right = (schedule.read == wanted).all() and (schedule.written == wanted + 1).all()
        return "" if is_even and is_right else "all ranks must make each version together"
    made = np.sort(schedule.written, axis=0)
    if (made != first + 1 + np.arange(num)[:, np.newaxis]).any():
        return "each version of each shard must be made exactly once"
    same = schedule.rank[1:] == schedule.rank[:-1]
    if (np.diff(schedule.written, axis=0)[same] <= 0).any() or (
        np.diff(schedule.read, axis=0)[same] < 0
    ).any():
        return "the versions of a rank must not go back"
    if (schedule.read[1:] < schedule.written[:-1])[same].any():
        return "a rank must read its own updates"
    return ""
