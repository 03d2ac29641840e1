"""Where the time of a run went: who was slow and when, who waited for whom, what was lost.

The logs are read rank by rank, twice: first to find who was the last at every clock, then to see
who waited for that. No two ranks' steps are in memory together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpitrain.analysis.attributes import needed_terms_of
from mpitrain.analysis.lateness import Straggler, Windows, stragglers_of
from mpitrain.analysis.phases import OWN, Phases, Seconds, read_phases
from mpitrain.analysis.waiting import LastAt, seen_at, waited_for
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import RunLog
from mpitrain.storage.timeline import Segment, Stretch, chain_of

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


def delays_of(log: RunLog) -> Delays:
    """Find where the time of a run went.

    Raises:
        LogError: no log can be read, none has a step, or rows are not in their file.
    """
    chain, reason = chain_of(log.lives)
    notes = _missing(log, chain, reason)
    if not chain:
        raise LogError(notes[0] if notes else f"{log.directory.root} has no log to read")
    scenes = [_Scene(stretch) for stretch in chain]
    if not any(scene.num_rows for scene in scenes):
        message = f"{log.directory.root}: no rank has a step in its log yet"
        raise LogError(message)
    return _Sums(scenes).delays(notes)


def _missing(log: RunLog, chain: Sequence[Stretch], reason: str | None) -> list[str]:
    counted = {stretch.life.life for stretch in chain} or {life.life for life in log.lives}
    notes = [
        f"{path}: {why}: nothing is known of this rank, waiting for it is shown as for nobody"
        for life in log.lives
        if life.life in counted
        for path, why in life.missing
    ]
    if reason is not None:
        notes.append(f"the timeline breaks off, the steps before are not counted: {reason}")
    for stretch in chain:
        short = [s.log.path for s in stretch.segments() if s.num_rows < _wanted(stretch, s)]
        notes += [f"{path} lacks rows that a later life started from" for path in short]
    return notes


def _wanted(stretch: Stretch, segment: Segment) -> int:
    rank = int(segment.log.attributes.get("rank", -1))
    return stretch.num_rows.get(rank, 0)


class _Scene:
    """One life, looked at for the first time: who was last at every clock, begin and end."""

    def __init__(self, stretch: Stretch) -> None:
        self.life = stretch.life
        terms = needed_terms_of(stretch.life)
        self.mode, self.bound = terms.mode, terms.bound
        self.segments = dict(zip(stretch.life.ranks, stretch.segments(), strict=True))
        self.last = LastAt()
        self.num_rows = 0
        self.began_s, self.ended_s = np.inf, -np.inf
        for rank, segment in self.segments.items():
            self._look(rank, read_phases(segment))

    def _look(self, rank: int, phases: Phases) -> None:
        if not phases.num_rows:
            return
        self.last.see(rank, phases, seen_at(phases, self.mode))
        self.num_rows += phases.num_rows
        self.began_s = min(self.began_s, float(phases.began_s[0]))
        self.ended_s = max(self.ended_s, float(phases.ended_s.max()))

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s if self.num_rows else 0.0


class _Sums:
    """All lives, looked at for the second time."""

    def __init__(self, scenes: Sequence[_Scene]) -> None:
        self._scenes = scenes
        self._size = max(max(scene.life.size, 1 + max(scene.segments)) for scene in scenes)
        if self._size > MOST_RANKS:
            message = f"who waited for whom is told of up to {MOST_RANKS} ranks, got {self._size}"
            raise LogError(message)
        size, seconds = self._size, sum(scene.seconds for scene in scenes)
        num_rows = sum(scene.num_rows for scene in scenes)
        self._seconds = seconds
        self._windows = Windows(size, seconds, num_rows / size)
        self._rows = np.zeros(size, np.int64)
        self._wait_s, self._idle_s = np.zeros(size), np.zeros(size)
        self._own_s = np.zeros((size, len(OWN)))
        self._waited_s = np.zeros((size, size + 1))
        self._longest: list[LongStep] = []
        self._left_out: list[str] = []
        offset_s = 0.0
        for scene in scenes:
            for rank, segment in scene.segments.items():
                self._add(scene, rank, segment, offset_s - scene.began_s)
            offset_s += scene.seconds

    def _add(self, scene: _Scene, rank: int, segment: Segment, offset_s: float) -> None:
        phases = read_phases(segment)
        if phases.num_left_out:
            place, num = segment.log.path, phases.num_left_out
            self._left_out.append(f"{place}: {num} rows have no valid times; verify says which")
        if not phases.num_rows:
            return
        self._windows.add(rank, phases, offset_s)
        self._rows[rank] += phases.num_rows
        self._wait_s[rank] += phases.wait_s.sum()
        self._own_s[rank] += phases.own_s.sum(axis=1)
        if segment.log.is_closed:  # else its last rows may be missing
            self._idle_s[rank] += scene.ended_s - float(phases.ended_s[-1])
        whom, lost_s = waited_for(rank, phases, scene.last, scene.mode, scene.bound)
        lost_s = np.minimum(lost_s, phases.wait_s)
        # NOBODY is -1, the last column
        self._waited_s[rank] += np.roll(np.bincount(whom + 1, lost_s, self._size + 1), -1)
        self._waited_s[rank, -1] += float((phases.wait_s - lost_s).sum())
        self._longest += _longest(rank, scene.life.life, phases, offset_s)

    def delays(self, notes: list[str]) -> Delays:
        newest = self._scenes[-1]
        return Delays(
            mode=newest.mode,
            bound=newest.bound,
            size=self._size,
            num_lives=len(self._scenes),
            seconds=self._seconds,
            hosts=_hosts(self._scenes, self._size),
            num_rows=self._rows,
            wait_s=self._wait_s,
            own_s=self._own_s,
            idle_s=self._idle_s,
            waited_s=self._waited_s,
            windows=self._windows,
            stragglers=stragglers_of(self._windows),
            longest=sorted(self._longest, key=lambda step: -step.own_s)[:NUM_LONGEST],
            num_missing=sum(len(scene.life.missing) for scene in self._scenes),
            notes=[*notes, *self._left_out],
        )


def _hosts(scenes: Sequence[_Scene], size: int) -> list[str]:
    found = [""] * size
    for scene in scenes:
        for rank, segment in scene.segments.items():
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
