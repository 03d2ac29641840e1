"""Schedules of runs that took place: from the rows of their logs, life by life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.core.position import Position
from mpitrain.schedules.schedule import TIMES, Counts, Schedule
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.reading import RunLog, Stretch

FIGURES = ("loss", "gradient_norm", "update_norm")


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedLife:
    """What one life adds to the timeline of a run.

    Attributes:
        life: its number in the recorded run.
        position: where its ranks started.
        schedule: its updates up to the cut.
        cut: (P,), clocks at the checkpoint that its successor started from; None in the last life.
        figures: loss, gradient_norm and update_norm, (U,) each, float32, as logged, by the rows of
            the schedule.
        logs: of each rank.
        num_left: rows of the logs that the schedule lacks: they come after a version that no log
            has, as the last ones of a killed run do.
    """

    life: int
    position: Position
    schedule: Schedule
    cut: Counts | None
    figures: Mapping[str, npt.NDArray[np.float32]]
    logs: Sequence[RankLog]
    num_left: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the schedule holds every step: no rank was cut off before its end or the cut."""
        is_closed = all(log.is_closed for log in self.logs)
        return self.cut is not None or (is_closed and not self.num_left)

    def place_of(self, row: int) -> tuple[RankLog, int]:
        """Return the log and the row in it that a row of the schedule came from."""
        log = self.logs[int(self.schedule.rank[row])]
        return log, int(self.schedule.clock[row]) - log.start.clock(int(self.schedule.rank[row]))


def recorded_lives(log: RunLog) -> list[RecordedLife]:
    """Return the lives on a run's timeline, oldest first; their logs have been verified.

    Raises:
        UserError: the run cannot be replayed: versions were not kept, or the reduction was MPI's
            own, whose order of addition is not known.
        LogError: the timeline breaks off.
    """
    chain = log.chain
    lives: list[RecordedLife] = []
    for stretch, after in zip(chain, [*chain[1:], None], strict=True):
        _check_replayable(stretch)
        before = lives[-1] if lives else None
        lives.append(_recorded(stretch, before, None if after is None else after.life.start.cut))
    return lives


def _recorded(stretch: Stretch, before: RecordedLife | None, cut: Counts | None) -> RecordedLife:
    logs = [stretch.life.ranks[rank] for rank in range(stretch.life.size)]
    counts = [stretch.num_rows[rank] for rank in range(len(logs))]
    schedule = _schedule(logs, counts)
    is_kept: npt.NDArray[np.bool_] = schedule.written.max(axis=1) <= longest_prefix(schedule)
    return RecordedLife(
        life=stretch.life.life,
        position=_position(logs[0], before),
        schedule=schedule.where(is_kept),
        cut=cut,
        figures={name: _column(logs, counts, name).astype(np.float32)[is_kept] for name in FIGURES},
        logs=logs,
        num_left=int((~is_kept).sum()),
    )


def longest_prefix(schedule: Schedule) -> int:
    """Return the largest version up to which a schedule is whole.

    No version is missing on any shard up to there, and every update is on all shards or on none.
    """
    first = schedule.first_version
    if schedule.is_collective:
        counts = np.bincount(schedule.rank, minlength=schedule.size)
        return first + int(counts.min(initial=schedule.num_updates))
    made = np.sort(schedule.written, axis=0) - first
    is_there = made == np.arange(1, len(made) + 1)[:, np.newaxis]
    last = int(np.logical_and.accumulate(is_there.all(axis=1)).sum())
    # at a version that lies between those that one update makes, that update is on some shards only
    lows = np.minimum(schedule.written.min(axis=1) - first, last + 1)
    highs = np.minimum(schedule.written.max(axis=1) - first, last + 1)
    opened = np.bincount(lows, minlength=last + 2) - np.bincount(highs, minlength=last + 2)
    whole = np.flatnonzero(np.cumsum(opened[: last + 1]) == 0)
    return first + int(whole[-1])


def _schedule(logs: Sequence[RankLog], counts: Sequence[int]) -> Schedule:
    first = logs[0]
    is_collective = first.attributes["mode"] == "bsp"
    clock = _column(logs, counts, "clock")
    if is_collective:  # versions follow from the clocks; log.per_shard may have been off
        version = (clock - first.start.clock(0) + first.start.version)[:, np.newaxis]
        version = np.repeat(version, len(first.shards), axis=1)
        read, written = version, version + 1
    else:
        read, written = (_column(logs, counts, f"version_{name}") for name in ("read", "written"))
    return Schedule(
        is_collective=is_collective,
        size=len(logs),
        rank=np.repeat(np.arange(len(logs)), counts),
        clock=clock,
        ticket=_column(logs, counts, "ticket"),
        read=read,
        written=written,
        first_version=first.start.version,
        lead=_column(logs, counts, "lead").astype(np.int64),
        times={name: _column(logs, counts, name).astype(np.float64) for name in TIMES},
    )


def _column(logs: Sequence[RankLog], counts: Sequence[int], name: str) -> npt.NDArray[np.int64]:
    return np.concatenate(
        [log.steps[name][:count] for log, count in zip(logs, counts, strict=True)]
    )


def _position(log: RankLog, before: RecordedLife | None) -> Position:
    """Return where a life started; what its logs do not say follows from the life before."""
    mode, share = str(log.attributes["mode"]), str(log.attributes["share"])
    size, start = int(log.attributes["size"]), log.start
    if before is None:
        return Position.first(mode, share, size)
    assert before.cut is not None
    taken = int((before.cut - before.position.clocks).sum())
    drawn = before.position.drawn + (taken if before.position.share == "shared" else 0)
    return before.position.moved(before.cut, start.version, drawn).on(mode, share, size)


def _check_replayable(stretch: Stretch) -> None:
    for log in stretch.life.ranks.values():
        is_collective = log.attributes["mode"] == "bsp"
        if is_collective and log.attributes.get("reduction") == "mpi":
            message = (
                f"{log.path}: the run used mode.reduction = 'mpi', whose order of addition is not "
                "known; only mode.reduction = 'tree' can be replayed"
            )
            raise UserError(message)
        if not (is_collective or log.per_shard):
            message = (
                f"{log.path}: the log has no versions of each shard (log.per_shard = false); only "
                "runs with log.per_shard = true can be replayed"
            )
            raise UserError(message)
