"""Opening the logs of a run so that what is missing is known, and nothing read later can fail.

All tools that tell of a run's timeline open it here: a run that goes on, one that was killed, over
all its lives, with what is left of its files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mpitrain.analysis.lacking import check_any, lost_logs, read_or_empty
from mpitrain.analysis.time_axis import TimeAxis, time_axis
from mpitrain.core.console import counted
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import LifeLog, RunLog, Segment, Stretch, open_log
from mpitrain.storage.timeline import chain_of


@dataclass(frozen=True)
class Opened:
    """What there is of a run.

    Attributes:
        log: all lives, with the logs that are whole.
        chain: the lives on the timeline, oldest first; not empty.
        missing: what is not there or cannot be read, each a sentence.
    """

    log: RunLog
    chain: Sequence[Stretch]
    missing: list[str]

    @property
    def newest(self) -> LifeLog:
        """The life that the timeline ends in."""
        return self.chain[-1].life

    @property
    def num_rows(self) -> int:
        """Rows on the timeline."""
        return sum(segment.num_rows for segment in self.segments())

    @property
    def notes(self) -> list[str]:
        """What is missing, and that more may be to come."""
        num_open = sum(not log.is_closed for log in self.newest.ranks.values())
        logs = f"life {self.newest.life}: {counted(num_open, 'log')} not closed"
        why = "the run goes on or was killed, and the newest rows may be lacking"
        return [*self.missing, *([f"{logs}; {why}"] if num_open else [])]

    @cached_property
    def axis(self) -> TimeAxis:
        """The time of the timeline."""
        return time_axis(self.chain)

    def segments(self) -> list[Segment]:
        """Return the rows on the timeline, life by life and rank by rank."""
        return [segment for stretch in self.chain for segment in stretch.segments()]

    def timed_segments(self) -> Iterator[tuple[Segment, float]]:
        """Yield them with what to add to their times, in seconds, to get those of the axis."""
        for index, stretch in enumerate(self.chain):
            for segment in stretch.segments():
                yield segment, self.axis.offset_s(index)


def open_readable(directory: Path, log_root: Path | None = None) -> Opened:
    """Open the logs of a run for a tool that goes on with what is there.

    Raises:
        LogError: there is no log that can be read; names what is wrong.
    """
    log = open_log(directory, log_root=log_root)
    check_any(directory, log.lives)
    log = RunLog(log.directory, [readable(life) for life in log.lives])
    chain, reason = chain_of(log.lives)
    status = read_or_empty(log.directory, "status")
    lost = [one for life in log.lives for one in lost_logs(log.directory, life, chain, status)]
    missing = [f"{path}: {why}" for path, why in lost]
    if not chain:
        raise LogError(missing[0])
    if reason is not None:
        missing.append(f"the timeline breaks off: {reason}")
    missing += [
        f"{log.path}: {counted(lacking, 'row')} before the next life's start lost"
        for stretch in chain
        for rank, log in stretch.life.ranks.items()
        if (lacking := stretch.num_rows.get(rank, 0) - log.num_rows) > 0
    ]
    return Opened(log, chain, missing)


def readable(life: LifeLog) -> LifeLog:
    """See that all rows are there; a log where they are not joins the missing ones."""
    ranks, missing = dict(life.ranks), list(life.missing)
    for rank, log in life.ranks.items():
        try:
            log.check_stored()
        except LogError as error:
            missing.append((log.path, str(error).removeprefix(f"{log.path}: ")))
            del ranks[rank]
    return dataclasses.replace(life, ranks=ranks, missing=sorted(missing))
