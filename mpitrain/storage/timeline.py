"""The timeline of a run: of each life the rows up to the checkpoint its successor started from.

The newest life that has logs counts with all its rows. Its logs say which life wrote the checkpoint
that it started from, and the clocks of that life's ranks there, the *cut*; so that life counts with
its rows up to the cut, and so on back to a life that started from nothing. Lives beside this chain
were killed before their first checkpoint, or left behind by who went on from an older one: none of
their rows is on the timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpitrain.core.errors import LogError
from mpitrain.storage.life_log import LifeLog
from mpitrain.storage.rank_log import RankLog


@dataclass(frozen=True)
class Segment:
    """The first ``num_rows`` rows of a log: its share of the run's timeline."""

    life: int
    rank: int
    log: RankLog
    num_rows: int


@dataclass(frozen=True)
class Stretch:
    """What one life adds to the timeline.

    Attributes:
        life: its logs.
        num_rows: rows that count, by rank, also of logs that lack them or are missing.
    """

    life: LifeLog
    num_rows: dict[int, int]

    def segments(self) -> list[Segment]:
        """Return what there is of the rows: by rank, at most as many as the log has."""
        return [
            Segment(self.life.life, rank, log, min(log.num_rows, self.num_rows.get(rank, 0)))
            for rank, log in self.life.ranks.items()
        ]


def chain_of(lives: Sequence[LifeLog]) -> tuple[list[Stretch], str | None]:
    """Return the lives on the timeline, oldest first, and why the first has no predecessor.

    Args:
        lives: the lives that have a folder, oldest first.

    Returns:
        the stretches; None, or what is wrong where the chain breaks off.
    """
    by_number = {life.life: life for life in lives if life.ranks}
    if not by_number:
        return [], None
    newest = by_number[max(by_number)]
    rows = {rank: log.num_rows for rank, log in newest.ranks.items()}
    chain = [Stretch(newest, rows)]
    while (start := chain[0].life.start).life >= 0:
        number, before = chain[0].life.life, by_number.get(start.life)
        if start.life >= number:
            return chain, f"life {number} says that it started from life {start.life}"
        if before is None:
            return chain, f"life {number} started from life {start.life}, which has no logs"
        cut = start.cut[: before.size].tolist()
        counted = {rank: clock - before.start.clock(rank) for rank, clock in enumerate(cut)}
        chain.insert(0, Stretch(before, {rank: max(0, num) for rank, num in counted.items()}))
    return chain, None


def segments_of_rank(chain: Sequence[Stretch], rank: int) -> list[Segment]:
    """Return the rows of ``rank`` that count, life by life; none of a life that lacks the rank.

    Raises:
        LogError: a log that should have rows is missing or is too short; names it.
    """
    found: list[Segment] = []
    for stretch in chain:
        num_rows = stretch.num_rows.get(rank, 0)
        log = stretch.life.ranks.get(rank)
        if log is None and rank < stretch.life.size:
            message = f"life {stretch.life.life}: the log of rank {rank} is missing"
            raise LogError(message)
        if log is None:
            continue
        if log.num_rows < num_rows:
            message = f"{log.path} has {log.num_rows} rows, the next life started after {num_rows}"
            raise LogError(message)
        found.append(Segment(stretch.life.life, rank, log, num_rows))
    return found
