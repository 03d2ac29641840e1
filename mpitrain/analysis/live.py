"""What every rank of a run does just now, and how the whole stands: one look, then the next.

Clock and phase come from the small file that each rank keeps up to date in memory; staleness, loss
and rate from the newest rows of the logs, which reach the disk every ``log.flush_every_s``.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.core.console import counted
from mpitrain.core.errors import LogError
from mpitrain.core.phases import END, PHASES
from mpitrain.storage.last_rows import LastRows, read_last_rows
from mpitrain.storage.last_seen import Seen, all_last_seen, last_seen_path
from mpitrain.storage.life_log import MAX_RANKS, ranks_found
from mpitrain.storage.reading import find_lives
from mpitrain.storage.run_directory import RunDirectory

COLUMNS = ("began_s", "staleness_mean", "loss")
NEWEST_ROWS = 200
GONE = "gone"  # its process is there no more, and did not say that it ended
ENDED = PHASES[END]
UNKNOWN = "unknown"  # there is no status.json
OVER = ("stopped", "failed", "done")
LAST_WORDS_S = 30.0  # that ranks which ended leave to rank 0 for the run's result


@dataclass(frozen=True, kw_only=True)
class RankNow:
    """One rank.

    Attributes:
        rank: number.
        host: where it runs.
        clock: finished steps, in this life and those it goes on from.
        lead: clock minus the least clock of the ranks that still work.
        staleness: mean of its newest rows; None before the first.
        steps_per_s: since the last look, at the first one over its newest rows; None before.
        loss: mean of its newest rows; None before.
        doing: a phase, or "gone".
        since_s: for how long.
    """

    rank: int
    host: str
    clock: int
    lead: int
    staleness: float | None
    steps_per_s: float | None
    loss: float | None
    doing: str
    since_s: float


@dataclass(frozen=True, kw_only=True)
class Now:
    """The whole run.

    Attributes:
        at_s: ``time.time()`` of the look.
        status: of status.json: running, stopped, failed, done; "starting" before there are ranks,
            "unknown" without that file.
        life: the newest.
        ranks: those that left a sign, by number.
        steps: of all ranks, their clocks together.
        steps_per_s: of all ranks; None where no rank's is known.
        evaluation: the newest one's detail.
        notes: what could not be read.
    """

    at_s: float
    status: str
    life: int
    ranks: list[RankNow]
    steps: int
    steps_per_s: float | None
    evaluation: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def quiet_s(self) -> float:
        """How long ago a rank began something last; 0 without a rank."""
        return min((rank.since_s for rank in self.ranks), default=0.0)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come: the run says so, or all its processes are gone."""
        if self.status in OVER or (self.status == UNKNOWN and not self.ranks):
            return True
        if not all(rank.doing in (GONE, ENDED) for rank in self.ranks) or not self.ranks:
            return False
        return any(rank.doing == GONE for rank in self.ranks) or self.quiet_s > LAST_WORDS_S


def look(root: Path, log_root: Path | None = None, before: Now | None = None) -> Now:
    """Look at a run.

    Args:
        root: the run directory.
        log_root: folder of the logs where they are not in ``root/log``.
        before: the last look, for the speed since then.

    Raises:
        LogError: it is no run directory, or has no log.
    """
    directory, lives = find_lives(root, log_root)
    life = lives[-1]
    seen = all_last_seen(directory.life_directory(life))
    rows, notes = _rows(directory, life)
    at_s = time.time()
    slowest = min((one.clock for one in seen if one.phase != END), default=None)
    earlier = before if before is not None and before.life == life else None
    ranks = [_rank_now(one, rows.get(one.rank), slowest, at_s, earlier) for one in seen]
    speeds = [one.steps_per_s for one in ranks if one.steps_per_s is not None]
    newest = rows[min(rows)] if rows else None
    notes += _silent(directory, life, rows, seen)
    return Now(
        at_s=at_s,
        status=_status(directory, life, seen),
        life=life,
        ranks=ranks,
        steps=sum(one.clock for one in ranks),
        steps_per_s=sum(speeds) if speeds else None,
        evaluation=newest.detail if newest is not None else {},
        notes=notes,
    )


def _rows(directory: RunDirectory, life: int) -> tuple[dict[int, LastRows], list[str]]:
    """Return the newest rows of each log; a log that cannot be read just now is noted."""
    rows: dict[int, LastRows] = {}
    notes: list[str] = []
    for rank in sorted(ranks_found(directory, life)):
        path = directory.log_path(life, rank)
        try:
            rows[rank] = read_last_rows(path, COLUMNS, NEWEST_ROWS, ("evaluation",))
        except LogError as error:
            notes.append(str(error))
    return rows, notes


def _silent(
    directory: RunDirectory, life: int, rows: dict[int, LastRows], seen: Sequence[Seen]
) -> list[str]:
    """Return a note for ranks that left no sign of what they do."""
    size = max((one.size for one in rows.values()), default=0)
    silent = sorted(set(range(min(size, MAX_RANKS))) - {one.rank for one in seen})
    if not silent:
        return [] if seen else [f"{directory.life_directory(life)} has no sign of a rank so far"]
    path = last_seen_path(directory.life_directory(life), silent[0])
    others = f", nor of {counted(len(silent) - 1, 'other rank')}" if silent[1:] else ""
    return [f"no sign of rank {silent[0]}{others}: {path} is missing or makes no sense"]


def _status(directory: RunDirectory, life: int, seen: Sequence[Seen]) -> str:
    try:
        said = directory.read_status() or {}
    except LogError:
        said = {}
    if not said:
        return UNKNOWN
    if said.get("life") != life:  # the life before wrote it
        return "starting" if not seen else "running"
    return str(said.get("status", UNKNOWN))


def _rank_now(
    seen: Seen, rows: LastRows | None, slowest: int | None, at_s: float, before: Now | None
) -> RankNow:
    is_gone = seen.phase != END and not _is_there(seen)
    columns = {} if rows is None or not rows.num_rows else rows.columns
    return RankNow(
        rank=seen.rank,
        host=seen.host,
        clock=seen.clock,
        lead=0 if slowest is None else max(0, seen.clock - slowest),
        staleness=float(np.mean(columns["staleness_mean"])) if columns else None,
        steps_per_s=_speed(seen, rows, at_s, before),
        loss=float(np.mean(columns["loss"])) if columns else None,
        doing=GONE if is_gone else PHASES[seen.phase],
        since_s=max(0.0, at_s - seen.since_s),
    )


def _speed(seen: Seen, rows: LastRows | None, at_s: float, before: Now | None) -> float | None:
    """Return steps a second, since the last look or else over the newest rows."""
    if before is not None and at_s > before.at_s:
        for rank in before.ranks:
            if rank.rank == seen.rank and rank.clock <= seen.clock:
                return (seen.clock - rank.clock) / (at_s - before.at_s)
    if rows is None or rows.num_rows < 2:
        return None
    began_s = rows.columns["began_s"]
    spent_s = float(began_s[-1] - began_s[0])
    return (len(began_s) - 1) / spent_s if spent_s > 0 else None


def _is_there(seen: Seen) -> bool:
    """Tell whether a rank's process is there; of another host's nothing is known."""
    if seen.host != socket.gethostname():
        return True
    try:
        os.kill(seen.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
