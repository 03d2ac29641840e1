"""The job chain of a run: one line for each thing that happened to its jobs, in ``jobs.jsonl``.

Lines are only added, by one job after the other, each in one write; one that was cut off is left
out when they are read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mpitrain.core.errors import LogError, reason

NAME = "jobs.jsonl"
SUBMITTED, REQUEUED, ENDED, GAVE_UP = "submitted", "requeued", "ended", "gave up"
HANDED_ON = "handed on"  # to another job


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened.

    Attributes:
        time: local time with its offset, ISO 8601.
        job: number of the job; of a cell of an array "1234_5".
        restarts: times that it had been requeued.
        what: "submitted", "requeued", "handed on", "ended" or "gave up".
        cause: why: "time limit", "preemption", "signal", "lost", "failed", "done", ...
        outcome: of the life: "done", "stopped", "failed", "killed" or "never began"; empty when
            none was tried.
        life: of the run, -1 where there was none.
        steps: of the newest checkpoint, -1 where there was none.
        text: for people.
    """

    time: str
    job: str
    restarts: int = 0
    what: str
    cause: str = ""
    outcome: str = ""
    life: int = -1
    steps: int = -1
    text: str = ""


def now_text() -> str:
    """Return the present as entries say it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def append(root: Path, entry: Entry) -> None:
    """Add a line to the job chain of the run in ``root``.

    Raises:
        LogError: it cannot be written.
    """
    path = root / NAME
    line = json.dumps(dataclasses.asdict(entry)) + "\n"
    try:
        with path.open("ab") as file:
            is_cut = file.tell() and not _ends_in_newline(path)
            file.write((b"\n" if is_cut else b"") + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        message = f"{path} cannot be written: {reason(error)}"
        raise LogError(message) from error


def entries(root: Path) -> list[Entry]:
    """Return the job chain of the run in ``root``, oldest first; empty without one.

    Raises:
        LogError: it cannot be read.
    """
    path = root / NAME
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{path} cannot be read: {reason(error)}"
        raise LogError(message) from error
    found = (_entry(line) for line in lines)
    return [entry for entry in found if entry is not None]


def _entry(line: str) -> Entry | None:
    value: Any = None
    with suppress(ValueError):
        value = json.loads(line)
    if not isinstance(value, Mapping):
        return None
    types = {field.name: type(field.default) for field in dataclasses.fields(Entry)}
    kept = {
        name: value[name]
        for name, kind in types.items()
        if name in value and isinstance(value[name], int if kind is int else str)
    }
    try:
        return Entry(**kept)
    except TypeError:  # time, job or what are missing
        return None


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
