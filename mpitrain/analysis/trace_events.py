"""What happened to a rank between its steps, as slices and moments of a trace.

The log notes when an evaluation or a checkpoint was finished. An evaluation fills the time between
two steps up to then. A checkpoint was written by another thread, for so long as its event says, and
the event comes a little after its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.trace_text import CHECKPOINTS, STEPS, instant_text, slice_text
from mpitrain.storage.rank_log import Event

EVALUATIONS = ("evaluation", "coherence")
LONG = ("versions",)  # left out: one number per shard


@dataclass(frozen=True)
class Between:
    """An event's place.

    Attributes:
        row: of the step after which it happened; -1 before the first.
        at_ns: when.
        text: the event of the trace.
    """

    row: int
    at_ns: int
    text: str


def events_between(
    rank: int,
    events: Sequence[Event],
    zero_ns: int,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> list[Between]:
    """Return what happened on the thread of the steps, in order.

    Args:
        rank: of the log.
        events: of the log, in order.
        zero_ns: place of the life's common zero in the trace.
        starts: (rows,), when the steps began.
        ends: (rows,), when they ended.
    """
    found: list[Between] = []
    for time_s, kind, detail in events:
        if kind == "checkpoint":
            continue
        row, least, at_ns = _place(_nanoseconds(time_s) + zero_ns, zero_ns, starts, ends)
        if found and found[-1].row == row:
            least = max(least, found[-1].at_ns)
        at_ns = max(at_ns, least)
        args = {name: value for name, value in detail.items() if name not in LONG}
        text = (
            slice_text(rank, STEPS, kind, least, at_ns, args)
            if kind in EVALUATIONS
            else instant_text(rank, kind, at_ns, args)
        )
        found.append(Between(row, at_ns, text))
    return found


def checkpoints_of(rank: int, events: Sequence[Event], zero_ns: int) -> list[tuple[int, str]]:
    """Return when each checkpoint was noted, and its slice; they do not overlap."""
    found: list[tuple[int, str]] = []
    for time_s, kind, detail in events:
        if kind != "checkpoint":
            continue
        end_ns = max(zero_ns, _nanoseconds(time_s) + zero_ns)
        end_ns = max(end_ns, found[-1][0] if found else zero_ns)
        start_ns = max(end_ns - _seconds(detail.get("write_s")), found[-1][0] if found else zero_ns)
        name = f"checkpoint {detail.get('steps', '')}".strip()
        found.append((end_ns, slice_text(rank, CHECKPOINTS, name, start_ns, end_ns, detail)))
    return found


def _place(
    at_ns: int, zero_ns: int, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[int, int, int]:
    """Return the row before a moment, that row's end, and the moment, which is in no step."""
    row = int(np.searchsorted(ends, at_ns, side="right")) - 1
    least = int(ends[row]) if row >= 0 else zero_ns
    most = int(starts[row + 1]) if row + 1 < len(starts) else at_ns
    return row, min(least, most), max(min(least, most), min(at_ns, most))


def _seconds(value: Any) -> int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _nanoseconds(value) if is_number else 0


def _nanoseconds(seconds: float) -> int:
    return int(np.rint(min(max(np.nan_to_num(seconds), 0.0), 1e8) * 1e9))
