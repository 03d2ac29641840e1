"""What there is of a run's timeline, log by log, and what of it is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpitrain.core.console import counted
from mpitrain.core.errors import LogError
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.reading import LifeLog, RunLog, Stretch
from mpitrain.storage.timeline import chain_of

MAX_NOTES = 5  # logs of a life that are named one by one
SLICE_VERSIONS = 1 << 20  # versions of shards that are read together


@dataclass(frozen=True)
class Part:
    """The first ``num_rows`` rows of one rank's log in one life.

    Attributes:
        life: of the log.
        rank: of the log.
        log: attributes and events; its rows are read in slices and not kept.
        num_rows: that count and are there.
    """

    life: int
    rank: int
    log: RankLog
    num_rows: int

    def slice_rows(self, most: int) -> int:
        """Return how many rows to read together: fewer than ``most`` where shards are many."""
        return max(1, min(most, SLICE_VERSIONS // len(self.log.shards)))


@dataclass
class Available:
    """The parts of a timeline, life by life, and what is missing, in words for people.

    Attributes:
        stretches: the lives, oldest first.
        notes: each names a file and what it lacks.
    """

    stretches: list[Stretch]
    notes: list[str] = field(default_factory=list)

    def parts_of(self, stretch: Stretch) -> list[Part]:
        """Return the logs of one life, by rank."""
        return [
            Part(stretch.life.life, rank, log, min(log.num_rows, stretch.num_rows.get(rank, 0)))
            for rank, log in sorted(stretch.life.ranks.items())
        ]

    def parts(self) -> list[Part]:
        """Return the logs of all lives, life by life and rank by rank."""
        return [part for stretch in self.stretches for part in self.parts_of(stretch)]

    def drop_unreadable(self, check: Callable[[RankLog], None] = RankLog.check_stored) -> None:
        """Take out the logs whose rows or events are not all in their files, with a note.

        Raises:
            LogError: none is left.
        """
        for stretch in self.stretches:
            for rank, log in list(stretch.life.ranks.items()):
                try:
                    check(log)
                except LogError as error:
                    self.notes.append(str(error))
                    del stretch.life.ranks[rank]
        if not any(stretch.life.ranks for stretch in self.stretches):
            raise LogError(self.notes[-1])


def available(log: RunLog) -> Available:
    """Return what there is of a run's timeline.

    Raises:
        LogError: no log of any life can be read; names the first.
    """
    chain, reason = chain_of(log.lives)
    if not chain:
        missing = [f"{path}: {why}" for life in log.lives for path, why in life.missing]
        message = missing[0] if missing else f"{log.directory.root} holds no staleness log"
        raise LogError(message)
    broken = [] if reason is None else [f"the timeline breaks off: {reason}"]
    return Available(chain, [*broken, *_notes(chain), *_still_open(chain[-1].life)])


def _still_open(newest: LifeLog) -> list[str]:
    num_open = sum(not log.is_closed for log in newest.ranks.values())
    if not num_open:
        return []
    logs = f"life {newest.life}: {counted(num_open, 'log')} not closed"
    return [f"{logs}; the run goes on or was killed, and the newest rows may be lacking"]


def _notes(chain: Sequence[Stretch]) -> list[str]:
    notes: list[str] = []
    for stretch in chain:
        notes += _missing(stretch.life)
        notes += [
            f"{log.path} has {log.num_rows} rows, the next life started after {wanted}"
            for rank, log in stretch.life.ranks.items()
            if log.num_rows < (wanted := stretch.num_rows.get(rank, 0))
        ]
    return notes


def _missing(life: LifeLog) -> list[str]:
    named = [f"{path}: {why}" for path, why in life.missing[:MAX_NOTES]]
    more = len(life.missing) - len(named)
    return [*named, f"life {life.life}: {more} more logs are missing"] if more else named
