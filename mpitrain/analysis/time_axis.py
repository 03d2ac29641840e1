"""The time of a run over all its lives, and its division into equal parts.

Each life counts its seconds from its own zero. On the axis the lives on the timeline follow each
other without the pauses between them; rows after the checkpoint that the next life started from do
not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.storage.reading import Segment, Stretch

PHASES = ("wait_s", "read_s", "compute_s", "write_s")
TIMES = ("began_s", *PHASES)
NUM_LOOKED_AT = 64
"""Rows at the ends of a log in which one with good times is looked for."""

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TimeAxis:
    """Where each life lies.

    Attributes:
        begins_s: of the first step of each life on the timeline, in seconds of that life.
        lengths_s: from there to the end of its last step.
    """

    begins_s: list[float]
    lengths_s: list[float]

    @property
    def seconds(self) -> float:
        """The length of the axis."""
        return sum(self.lengths_s)

    def offset_s(self, index: int) -> float:
        """Return what to add to a time of the life with this place on the timeline."""
        return sum(self.lengths_s[:index]) - self.begins_s[index]

    def moment_s(self, index: int, time_s: float) -> float:
        """Return where a time of the life with this place lies, within its part of the axis."""
        spent_s = min(max(0.0, time_s - self.begins_s[index]), self.lengths_s[index])
        return sum(self.lengths_s[:index]) + spent_s

    def edges_s(self, num_parts: int) -> npt.NDArray[np.float64]:
        """Return where equal parts begin and end: (num_parts + 1,), seconds from 0."""
        return np.linspace(0.0, max(self.seconds, 1e-9), num_parts + 1)


def time_axis(chain: Sequence[Stretch]) -> TimeAxis:
    """Return the axis of the lives on a timeline; reads some rows at both ends of each log."""
    begins_s, lengths_s = [], []
    for stretch in chain:
        spans = [span for segment in stretch.segments() if (span := _span_s(segment)) is not None]
        begin_s = min((begin_s for begin_s, _ in spans), default=0.0)
        begins_s.append(begin_s)
        lengths_s.append(max([0.0, *(end_s - begin_s for _, end_s in spans)]))
    return TimeAxis(begins_s, lengths_s)


def _span_s(segment: Segment) -> tuple[float, float] | None:
    """Return when the first step of a log began and its last one ended; None where none says so."""
    begins_s, _ = _times_s(segment, 0, min(NUM_LOOKED_AT, segment.num_rows))
    _, ends_s = _times_s(segment, max(0, segment.num_rows - NUM_LOOKED_AT), segment.num_rows)
    return (float(begins_s[0]), float(ends_s[-1])) if len(begins_s) and len(ends_s) else None


def _times_s(segment: Segment, start: int, stop: int) -> tuple[Times, Times]:
    """Return begins and ends of some steps; rows whose times are no times are left out."""
    rows = next((rows for _, rows in segment.log.slices(TIMES, stop, start=start)), None)
    if rows is None:
        return np.empty(0), np.empty(0)
    ends_s = rows["began_s"] + sum(rows[name].astype(np.float64) for name in PHASES)
    is_good = np.isfinite(ends_s)
    return rows["began_s"][is_good], ends_s[is_good]
