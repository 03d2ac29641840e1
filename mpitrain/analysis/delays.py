"""Where the time of a run went: who was slow and when, who waited for whom, what was lost.

The logs are read rank by rank, twice: first to find who was the last at every clock, then to see
who waited for that. No two ranks' steps are in memory together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpitrain.analysis.lateness import Straggler, Windows, stragglers_of
from mpitrain.analysis.phases import OWN, Phases, Seconds, read_phases
from mpitrain.analysis.pieces import Piece, pieces_of, size_of
from mpitrain.analysis.readable import Opened
from mpitrain.core.errors import LogError

NUM_LONGEST = 5
MOST_RANKS = 10_000


@dataclass(frozen=True, kw_only=True)
class LongStep:
    """One of the longest steps of a run, waiting not counted.

    Attributes:
        rank: whose.
        life: in which.
        clock: of the step.
        at_s: when it began, seconds of training.
        own_s: how long it was.
        phase: of which most of it was.
    """

    rank: int
    life: int
    clock: int
    at_s: float
    own_s: float
    phase: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Delays:
    """What was found.

    Attributes:
        mode: of the newest life.
        bound: of the newest life; None where there is none.
        size: P, the largest number of ranks of a life.
        num_lives: on the timeline.
        seconds: of training, over these lives.
        hosts: of each rank, as far as known.
        num_rows: (P,), int64, steps of each rank.
        wait_s: (P,), of each rank, as logged.
        own_s: (P, 4), by ``phases.OWN``.
        idle_s: (P,), after a rank's last step of a life until the last rank's.
        waited_s: (P, P + 1), how long the rank of the row waited for that of the column; the last
            column is waiting for nobody: messages, looks at the clocks.
        windows: the same over time.
        stragglers: the ranks that were late, the worst first.
        longest: steps.
        num_missing: logs that are missing or cannot be read.
        notes: what is missing, for people.
    """

    mode: str
    bound: int | None
    size: int
    num_lives: int
    seconds: float
    hosts: Sequence[str]
    num_rows: np.ndarray
    wait_s: Seconds
    own_s: Seconds
    idle_s: Seconds
    waited_s: Seconds
    windows: Windows
    stragglers: list[Straggler]
    longest: list[LongStep]
    num_missing: int
    notes: list[str]

    @property
    def lost_s(self) -> float:
        """Seconds that all ranks together waited for others, idling at the end included."""
        return float(self.waited_s[:, :-1].sum() + self.idle_s.sum())

    @property
    def lost_share(self) -> float:
        """Share of all ranks' time."""
        whole = self.seconds * int((self.num_rows > 0).sum())
        return self.lost_s / whole if whole else 0.0

    @property
    def steps_per_s(self) -> float:
        """Steps of all ranks together."""
        return float(self.num_rows.sum()) / self.seconds if self.seconds else 0.0


def delays_of(run: Opened) -> Delays:
    """Find where the time of a run went.

    Raises:
        LogError: no rank has a step, or rows are not in their file.
    """
    pieces, notes = pieces_of(run)
    num_missing = sum(len(stretch.life.missing) for stretch in run.chain)
    if num_missing:
        what = "nothing is known of ranks whose logs are missing"
        notes.append(f"{what}: waiting for them is shown as for nobody")
    sums = _Sums(pieces, run.axis.seconds, run.num_rows)
    return Delays(
        mode=pieces[-1].mode,
        bound=pieces[-1].bound,
        size=len(sums.num_rows),
        num_lives=len(run.chain),
        seconds=run.axis.seconds,
        hosts=_hosts(pieces),
        num_rows=sums.num_rows,
        wait_s=sums.wait_s,
        own_s=sums.own_s,
        idle_s=sums.idle_s,
        waited_s=sums.waited_s,
        windows=sums.windows,
        stragglers=stragglers_of(sums.windows),
        longest=sorted(sums.longest, key=lambda step: -step.own_s)[:NUM_LONGEST],
        num_missing=num_missing,
        notes=[*run.missing, *notes],
    )


class _Sums:
    """All lives, looked at for the second time; attributes as those of ``Delays``."""

    def __init__(self, pieces: Sequence[Piece], seconds: float, num_rows: int) -> None:
        size = size_of(pieces)
        if size > MOST_RANKS:
            message = f"who waited for whom is told of up to {MOST_RANKS} ranks, got {size}"
            raise LogError(message)
        self.windows = Windows(size, seconds, num_rows / size)
        self.num_rows = np.zeros(size, np.int64)
        self.wait_s, self.idle_s = np.zeros(size), np.zeros(size)
        self.own_s = np.zeros((size, len(OWN)))
        self.waited_s = np.zeros((size, size + 1))
        self.longest: list[LongStep] = []
        for piece in pieces:
            for rank, segment in piece.segments.items():
                self._add(piece, rank, read_phases(segment))

    def _add(self, piece: Piece, rank: int, phases: Phases) -> None:
        self.windows.add(rank, phases, piece.offset_s)
        self.num_rows[rank] += phases.num_rows
        self.wait_s[rank] += phases.wait_s.sum()
        self.own_s[rank] += phases.own_s.sum(axis=1)
        if piece.segments[rank].log.is_closed:  # else its last rows may be missing
            idle_s = piece.stop_s - piece.offset_s - float(phases.ended_s[-1])
            self.idle_s[rank] += max(0.0, idle_s)
        self.waited_s[rank] += piece.waited_s(rank, phases, len(self.num_rows))
        self.longest += _longest(rank, piece.life, phases, piece.offset_s)


def _hosts(pieces: Sequence[Piece]) -> list[str]:
    found = [""] * size_of(pieces)
    for piece in pieces:
        for rank, segment in piece.segments.items():
            found[rank] = str(segment.log.attributes.get("host", ""))
    return found


def _longest(rank: int, life: int, phases: Phases, offset_s: float) -> list[LongStep]:
    own_s = phases.own_s.sum(axis=0)
    num = min(NUM_LONGEST, len(own_s))
    rows = np.argpartition(own_s, len(own_s) - num)[-num:]
    return [
        LongStep(
            rank=rank,
            life=life,
            clock=int(phases.clock[row]),
            at_s=float(phases.began_s[row]) + offset_s,
            own_s=float(own_s[row]),
            phase=OWN[int(phases.own_s[:, row].argmax())],
        )
        for row in rows.tolist()
    ]
