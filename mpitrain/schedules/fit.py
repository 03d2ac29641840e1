"""What a simulated cluster costs, measured from the log of a real run; pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.schedules.durations import LEAST_S
from mpitrain.schedules.simulator import Costs
from mpitrain.storage.life_log import LifeLog
from mpitrain.storage.reading import RunLog

Seconds = npt.NDArray[np.float64]
LEAST_ROWS = 20  # of each rank
BASE = 0.1  # quantile of the waits that is taken for a wait for nobody


class Rows(Protocol):
    """Steps of one rank: its log, or some rows of it."""

    @property
    def steps(self) -> Mapping[str, npt.NDArray[Any]]:
        """Columns by name, (N,) each."""

    @property
    def num_rows(self) -> int:
        """N."""

    @property
    def shards(self) -> npt.NDArray[np.int64]:
        """(S, 3), as in the log."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """What was measured.

    Attributes:
        compute_s: of each rank, (N,), its computing times, injected lateness and all.
        costs: of a step.
        num_shards: S of the run.
        mode: of the run.
        bound: of the run; None for none.
    """

    compute_s: Sequence[Seconds]
    costs: Costs
    num_shards: int
    mode: str
    bound: int | None

    @property
    def size(self) -> int:
        """P, ranks of the run."""
        return len(self.compute_s)


def fit_of(log: RunLog) -> Fit:
    """Measure the newest life of a run.

    Raises:
        UserError: it has too few steps, or a log is missing.
    """
    life = log.lives[-1]
    _check(log, life)
    logs = [life.ranks[rank] for rank in range(life.size)]
    bound = int(logs[0].attributes["bound"])
    return fit_of_rows(logs, str(logs[0].attributes["mode"]), None if bound < 0 else bound)


def fit_of_rows(logs: Sequence[Rows], mode: str, bound: int | None) -> Fit:
    """Measure what all ranks, in order, did in this mode; each has a row at least."""
    num_shards = len(logs[0].shards)
    costs = _collective_costs(logs) if mode == "bsp" else _window_costs(logs, num_shards)
    return Fit(
        compute_s=[np.maximum(_seconds(rank, "compute_s"), LEAST_S) for rank in logs],
        costs=costs,
        num_shards=num_shards,
        mode=mode,
        bound=bound,
    )


def num_levels(size: int) -> int:
    """Return the levels of a tree of ranks."""
    return math.ceil(math.log2(max(size, 2)))


def _window_costs(logs: Sequence[Rows], num_shards: int) -> Costs:
    """Return the costs of a step over a window: medians over all rows of all ranks.

    Somebody who waits for nobody still looks at the clocks and draws a ticket: that is counted as
    time between two steps.
    """
    reads = np.concatenate([_seconds(log, "read_s") for log in logs])
    writes = np.concatenate([_seconds(log, "write_s") for log in logs])
    waits = np.concatenate([_seconds(log, "wait_s") for log in logs])
    gaps = np.concatenate([_gaps(log) for log in logs])
    read_s, write_s = float(reads.mean()), float(writes.mean())
    overhead_s = float(np.median(gaps)) + float(np.quantile(waits, BASE))
    return Costs(
        read_s=read_s / num_shards,
        write_s=write_s / num_shards,
        overhead_s=overhead_s,
        # a reduction goes through as many messages as the tree has levels
        collective_s=(read_s + write_s) / num_shards * num_levels(len(logs)),
    )


def _collective_costs(logs: Sequence[Rows]) -> Costs:
    """Return the costs of a synchronous step: the rank that comes last waits only for messages.

    What a window would cost is not in such a log. A reduction moves all parameters up a tree and
    down again, a read or a write moves them once: it is taken to be as long as one of those moves.
    """
    num = min(log.num_rows for log in logs)
    waits = np.array([_seconds(log, "wait_s")[:num] for log in logs])
    collective_s = float(np.median(waits.min(axis=0)))
    writes = float(np.mean([_seconds(log, "write_s").mean() for log in logs]))
    overhead_s = float(np.median(np.concatenate([_gaps(log) for log in logs]))) + writes
    move_s = collective_s / (2 * num_levels(len(logs)) * len(logs[0].shards))
    return Costs(
        read_s=move_s,
        write_s=move_s,
        overhead_s=overhead_s,
        collective_s=collective_s,
    )


def _gaps(log: Rows) -> Seconds:
    """Return the time from each step's end to the next one's begin: (rows - 1,)."""
    phases = ("wait_s", "read_s", "compute_s", "write_s")
    ended = _seconds(log, "began_s") + sum(_seconds(log, name) for name in phases)
    return np.maximum(_seconds(log, "began_s")[1:] - ended[:-1], 0.0)


def _seconds(log: Rows, name: str) -> Seconds:
    return np.asarray(log.steps[name], np.float64)


def _check(log: RunLog, life: LifeLog) -> None:
    for path, reason in life.missing:
        message = f"{path}: {reason}"
        raise UserError(message)
    few = [rank for rank in life.ranks.values() if rank.num_rows < LEAST_ROWS]
    if few or not life.ranks:
        where = few[0].path if few else log.directory.root
        found = few[0].num_rows if few else 0
        message = f"{where}: {found} steps are too few to measure, at least {LEAST_ROWS} are needed"
        raise UserError(message)
