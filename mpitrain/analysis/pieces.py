"""The lives on a timeline, seen once to find who was last at every clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import terms_of
from mpitrain.analysis.phases import Phases, read_phases
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.waiting import LastAt, seen_at, waited_for
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import Segment


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """One life on the timeline.

    Attributes:
        life: its number.
        mode: "bsp", "ssp", "asp", or what its logs say.
        bound: largest lead; None where there is none.
        size: number of ranks.
        segments: the rows of each rank that has some.
        offset_s: what turns times on the life's clock into seconds of training.
        start_s: when it begins, seconds of training.
        stop_s: when its last step ends.
        last: who was last at every clock.
    """

    life: int
    mode: str
    bound: int | None
    size: int
    segments: dict[int, Segment]
    offset_s: float
    start_s: float
    stop_s: float
    last: LastAt

    def waited_s(self, rank: int, phases: Phases, size: int) -> npt.NDArray[np.float64]:
        """Return how long a rank waited for each of ``size`` ranks and, last, for nobody."""
        whom, lost_s = waited_for(rank, phases, self.last, self.mode, self.bound)
        lost_s = np.minimum(lost_s, phases.wait_s)
        # nobody is -1: the last entry
        waited_s = np.roll(np.bincount(whom + 1, lost_s, size + 1), -1).astype(np.float64)
        waited_s[-1] += (phases.wait_s - lost_s).sum()
        return waited_s


def pieces_of(run: Opened) -> tuple[list[Piece], list[str]]:
    """Return the lives that have rows, oldest first, and notes of rows that are left out.

    Raises:
        LogError: no rank has a row.
    """
    notes: list[str] = []
    pieces = [_piece(run, index, notes) for index in range(len(run.chain))]
    pieces = [piece for piece in pieces if piece.segments]
    if not pieces:
        message = f"{run.log.directory.root}: no step is logged yet"
        raise LogError("; ".join([message, *run.missing[:1], *notes[:1]]))
    return pieces, notes


def size_of(pieces: Sequence[Piece]) -> int:
    """Return the largest number of ranks of a life."""
    return max(piece.size for piece in pieces)


def _piece(run: Opened, index: int, notes: list[str]) -> Piece:
    stretch, axis = run.chain[index], run.axis
    terms = terms_of(stretch.life)
    mode = terms.mode if terms else str(stretch.life.attributes.get("mode", "?"))
    last = LastAt()
    segments: dict[int, Segment] = {}
    for segment in stretch.segments():
        phases = read_phases(segment)
        if phases.num_rows:
            segments[segment.rank] = segment
            last.see(segment.rank, phases, seen_at(phases, mode))
        if phases.num_left_out:
            what = f"{phases.num_left_out} rows have no valid times or clock, and are left out"
            notes.append(f"{segment.log.path}: {what}")
    return Piece(
        life=stretch.life.life,
        mode=mode,
        bound=terms.bound if terms else None,
        size=max(stretch.life.size, 1 + max(segments, default=0)),
        segments=segments,
        offset_s=axis.offset_s(index),
        start_s=axis.begins_s[index] + axis.offset_s(index),
        stop_s=axis.begins_s[index] + axis.offset_s(index) + axis.lengths_s[index],
        last=last,
    )
