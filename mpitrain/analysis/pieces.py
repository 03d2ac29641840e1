"""The lives on a timeline, seen once to find who was last at every clock."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import terms_of
from mpitrain.analysis.phases import Phases, read_phases
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.time_axis import TimeAxis
from mpitrain.analysis.waiting import LastAt, seen_at, waited_for
from mpitrain.storage.reading import Segment, Stretch


@dataclass(frozen=True, eq=False)
class Piece:
    """One life on the timeline.

    Attributes:
        life: its number.
        mode: "bsp", "ssp", "asp", or what its logs say.
        bound: largest lead; None where there is none.
        segments: the rows of each rank that has some.
        offset_s: what turns times on the life's clock into seconds of training.
        start_s: when it begins, seconds of training.
        last: who was last at every clock.
    """

    life: int
    mode: str
    bound: int | None
    segments: dict[int, Segment]
    offset_s: float
    start_s: float
    last: LastAt

    def waited_s(self, rank: int, size: int) -> npt.NDArray[np.float64]:
        """Return how long a rank waited for each of ``size`` ranks and, last, for nobody."""
        phases = _phases(self.segments[rank])
        whom, lost_s = waited_for(rank, phases, self.last, self.mode, self.bound)
        lost_s = np.minimum(lost_s, phases.wait_s)
        # nobody is -1: the last entry
        waited_s = np.roll(np.bincount(whom + 1, lost_s, size + 1), -1).astype(np.float64)
        waited_s[-1] += (phases.wait_s - lost_s).sum()
        return waited_s


def pieces_of(run: Opened, axis: TimeAxis, notes: list[str]) -> list[Piece]:
    """Return the lives that have rows, oldest first; notes tell of rows that are left out."""
    pieces = [
        _piece(stretch, axis.offset_s(index), axis.begins_s[index], notes)
        for index, stretch in enumerate(run.chain)
    ]
    return [piece for piece in pieces if piece.segments]


def _piece(stretch: Stretch, offset_s: float, begin_s: float, notes: list[str]) -> Piece:
    terms = terms_of(stretch.life)
    mode = terms.mode if terms else str(stretch.life.attributes.get("mode", "?"))
    last = LastAt()
    segments: dict[int, Segment] = {}
    for rank, segment in zip(stretch.life.ranks, stretch.segments(), strict=True):
        phases = _phases(segment)
        if phases.num_rows:
            segments[rank] = segment
            last.see(rank, phases, seen_at(phases, mode))
        if phases.num_left_out:
            what = f"{phases.num_left_out} rows have no valid times or clock, and are left out"
            notes.append(f"{segment.log.path}: {what}")
    bound = terms.bound if terms else None
    life, start_s = stretch.life.life, begin_s + offset_s
    return Piece(life, mode, bound, segments, offset_s, start_s, last)


def _phases(segment: Segment) -> Phases:
    """Read a rank's steps; a clock that no step there can have would need room for all before."""
    phases = read_phases(segment)
    clock = phases.clock
    is_clock = (clock >= 0) & (clock < max(segment.log.start.clocks, default=0) + segment.num_rows)
    if is_clock.all():
        return phases
    return dataclasses.replace(
        phases,
        clock=clock[is_clock],
        began_s=phases.began_s[is_clock],
        wait_s=phases.wait_s[is_clock],
        own_s=phases.own_s[:, is_clock],
        ended_s=phases.ended_s[is_clock],
        num_left_out=phases.num_left_out + int((~is_clock).sum()),
    )
