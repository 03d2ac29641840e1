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

    def edges_s(self, num_parts: int) -> npt.NDArray[np.float64]:
        """Return where equal parts begin and end: (num_parts + 1,), seconds from 0."""
        return np.linspace(0.0, max(self.seconds, 1e-9), num_parts + 1)


def time_axis(chain: Sequence[Stretch]) -> TimeAxis:
    """Return the axis of the lives on a timeline; reads two rows of each log."""
    begins_s, lengths_s = [], []
    for stretch in chain:
        segments = [segment for segment in stretch.segments() if segment.num_rows]
        begin_s = min((_moment(segment, 0, ()) for segment in segments), default=0.0)
        ends_s = [_moment(segment, segment.num_rows - 1, PHASES) for segment in segments]
        begins_s.append(begin_s)
        lengths_s.append(max(0.0, max(ends_s, default=begin_s) - begin_s))
    return TimeAxis(begins_s, lengths_s)


def _moment(segment: Segment, row: int, phases: Sequence[str]) -> float:
    """Return when a step begins, or when the last of its phases ends; 0 where it does not say."""
    names = ["began_s", *phases]
    ((_, rows),) = segment.log.slices(names, row + 1, start=row)
    moment = sum(float(rows[name][0]) for name in names)
    return moment if np.isfinite(moment) else 0.0
