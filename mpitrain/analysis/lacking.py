"""Which logs a life lacks, beside those that it cannot have had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mpitrain.core.errors import LogError
from mpitrain.storage.life_log import ABSENT, LifeLog
from mpitrain.storage.opening import UNFINISHED
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.timeline import Stretch

CLOSED_WHEN = {"done": "the run is done", "stopped": "the run stopped"}
"""Statuses of a run whose newest life has closed all its logs, and how that is told."""


def read_or_empty(run: RunDirectory, name: str) -> Mapping[str, Any]:
    """Return what "status" or "result" holds, empty where it is missing or cannot be read."""
    read = {"status": run.read_status, "result": run.read_result}[name]
    try:
        return read() or {}
    except (LogError, RecursionError):
        return {}


def ending_of(life: LifeLog, status: Mapping[str, Any]) -> str | None:
    """Return how a life ended, if status.json says that it closed its logs."""
    is_last = status.get("life", life.life) == life.life
    return CLOSED_WHEN.get(str(status.get("status"))) if is_last else None


def is_stillborn(life: LifeLog, chain: Sequence[Stretch]) -> bool:
    """Tell whether a life ended before all its ranks had logs, which they open before any step.

    No later life can have started from it, and another life has the rows of the run.
    """
    is_unmade = all(
        reason.startswith(ABSENT) or reason.endswith(UNFINISHED) for _, reason in life.missing
    )
    has_rows = any(log.num_rows for log in life.ranks.values())
    is_needed = any(stretch.life.start.life == life.life for stretch in chain)
    is_part = bool(life.missing) or not life.ranks
    return is_part and is_unmade and not has_rows and not is_needed and bool(chain)


def check_any(directory: Path, lives: Sequence[LifeLog]) -> None:
    """Check that a run has a log, be it a damaged one.

    Raises:
        LogError: there is none of any life.
    """
    if not any(life.ranks or life.missing for life in lives):
        message = f"{directory} holds no staleness log: logging was off, or no life came so far"
        raise LogError(message)


def lost_logs(
    run: RunDirectory, life: LifeLog, chain: Sequence[Stretch], status: Mapping[str, Any]
) -> Iterator[tuple[Path, str]]:
    """Yield the logs that are not there or cannot be read, and why: none of one that never began.

    Args:
        run: of the life.
        life: whose logs.
        chain: the lives on the timeline.
        status: what status.json says.
    """
    if ending_of(life, status) is None and is_stillborn(life, chain):
        return
    yield from life.missing
    if not life.ranks:
        yield run.life_directory(life.life), "there is no log of any rank"
