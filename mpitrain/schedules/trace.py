"""The steps of a run as they were, to be simulated again: their times and what they cost; pure.

What the simulator takes as the same for every step is the least that any took, and the rest is the
step's own: with means a few long reads would make all steps longer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import needed_terms_of
from mpitrain.analysis.crowding import crowded
from mpitrain.schedules.durations import LEAST_S
from mpitrain.schedules.fit import BASE, LEAST_ROWS, Fit, fit_of_rows
from mpitrain.schedules.simulator import Costs
from mpitrain.storage.life_log import LifeLog
from mpitrain.storage.rank_log import RankLog

Seconds = npt.NDArray[np.float64]

STEPS_PER_RANK = 2000  # that are simulated at most
MOST_STEPS = 10_000  # of all ranks together
NUM_PIECES = 4  # of a longer log, evenly spread
EXCHANGED = ("read_s", "write_s")
COLUMNS = ("began_s", "wait_s", "read_s", "compute_s", "write_s")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Steps of all ranks as they were.

    Attributes:
        fit: costs and kind of the run.
        collective_s: of each rank, (N,), seconds of each step that a synchronous run has too.
        collective_costs: of a step of such a run.
        windowed_s: the same with what reading and writing took more than ``window_costs`` say.
        window_costs: of a step over a window, as little as any took: means would leave short steps
            less than nothing, and a few long reads make all steps longer.
        share: of the batches, "equal" or "shared".
        crowded: which ranks take turns on too few cores; None where none do, or nothing says.
    """

    fit: Fit
    collective_s: Sequence[Seconds]
    collective_costs: Costs
    windowed_s: Sequence[Seconds]
    window_costs: Costs
    share: str
    crowded: str | None = None


class _Rows:
    """Some rows of a log, as ``fit`` reads them."""

    def __init__(self, log: RankLog, num_wanted: int) -> None:
        num_rows = log.num_rows
        ((_, whole),) = log.slices((*COLUMNS, "lead"), num_rows, num_rows)
        places = _places(num_rows, num_wanted)
        self.steps = {name: np.asarray(whole[name][places], np.float64) for name in COLUMNS}
        self.lead = np.asarray(whole["lead"][places])
        self.num_rows = len(places)
        self.shards = log.shards
        self.is_joint = np.diff(places) > 1  # of two pieces


def _places(num_rows: int, num_wanted: int) -> npt.NDArray[np.int64]:
    """Return which rows to take: all, or ``NUM_PIECES`` pieces that are evenly spread."""
    if num_rows <= num_wanted:
        return np.arange(num_rows)
    size = num_wanted // NUM_PIECES
    firsts = np.linspace(0, num_rows - size, NUM_PIECES).astype(np.int64)
    return np.unique((firsts[:, np.newaxis] + np.arange(size)).ravel())


def trace_of(life: LifeLog) -> Trace | str:
    """Read what is simulated of a life; a text says why that cannot be.

    Raises:
        LogError: rows are not in their file, or attributes do not say what the run was.
    """
    if life.missing:
        path, reason = life.missing[0]
        return f"{path}: {reason}"
    few = [log for log in life.ranks.values() if log.num_rows < LEAST_ROWS]
    if few:
        num = few[0].num_rows
        return f"{few[0].path}: {num} steps are too few, at least {LEAST_ROWS} are needed"
    if life.size < 2:
        return "one rank waits for nobody"
    wanted = max(LEAST_ROWS * NUM_PIECES, min(STEPS_PER_RANK, MOST_STEPS // life.size))
    rows = [_Rows(life.ranks[rank], wanted) for rank in range(life.size)]
    terms = needed_terms_of(life)
    fit = fit_of_rows(rows, terms.mode, terms.bound)
    between_s = _between_s(rows, fit)
    together, costs = _collective_costs(rows, fit), _window_costs(rows, between_s, fit)
    ranks = list(zip(rows, between_s, strict=True))
    return Trace(
        fit=fit,
        collective_s=[_own_s(*one, fit, together, ()) for one in ranks],
        collective_costs=together,
        windowed_s=[_own_s(*one, fit, costs, EXCHANGED) for one in ranks],
        window_costs=costs,
        share=terms.share,
        crowded=crowded(life),
    )


def _collective_costs(rows: Sequence[_Rows], fit: Fit) -> Costs:
    """Return the costs of a synchronous step: what the last rank waits, in the mean."""
    if fit.mode != "bsp":
        return fit.costs
    num = min(one.num_rows for one in rows)
    waits_s = np.min([one.steps["wait_s"][:num] for one in rows], axis=0)
    return dataclasses.replace(fit.costs, collective_s=float(waits_s.mean()))


def _window_costs(rows: Sequence[_Rows], between_s: Sequence[Seconds], fit: Fit) -> Costs:
    """Return the least costs of a step over a window; guessed ones where the run had none."""
    if fit.mode == "bsp":
        return fit.costs
    least = {name: min(float(one.steps[name].min()) for one in rows) for name in EXCHANGED}
    return dataclasses.replace(
        fit.costs,
        read_s=least["read_s"] / fit.num_shards,
        write_s=least["write_s"] / fit.num_shards,
        overhead_s=min(float(one.min()) for one in between_s),
    )


def _between_s(rows: Sequence[_Rows], fit: Fit) -> list[Seconds]:
    """Return the time from the end of each step but the last to the next's start, (N - 1,) each.

    A wait for another rank is no part of it, looking at the clocks and drawing a ticket is.
    """
    usual_s = float(np.quantile(np.concatenate([one.steps["wait_s"] for one in rows]), BASE))
    return [_between_of_rank(one, usual_s, fit) for one in rows]


def _between_of_rank(rows: _Rows, usual_s: float, fit: Fit) -> Seconds:
    steps = rows.steps
    ended_s = np.sum([steps[name] for name in COLUMNS], axis=0)
    between_s = np.maximum(steps["began_s"][1:] - ended_s[:-1], 0.0)
    if fit.mode != "bsp":
        wait_s = steps["wait_s"][1:]
        if fit.bound is not None:  # whose lead was less one step ago need not wait
            is_free = rows.lead[:-1] < fit.bound
            wait_s = np.where(is_free, wait_s, np.minimum(wait_s, usual_s))
        between_s += wait_s
    between_s[rows.is_joint] = np.median(between_s)
    found: Seconds = between_s
    return found


def _own_s(
    rows: _Rows, between_s: Seconds, fit: Fit, costs: Costs, exchanged: Sequence[str]
) -> Seconds:
    """Return what each step took beyond what the simulator's costs stand for, (N,)."""
    steps = rows.steps
    own_s = steps["compute_s"].copy()
    own_s[:-1] += np.maximum(between_s - costs.overhead_s, 0.0)
    if fit.mode != "bsp":
        usual_s = {"read_s": costs.read_s, "write_s": costs.write_s}
        for name in exchanged:
            own_s += steps[name] - usual_s[name] * fit.num_shards
    return np.maximum(own_s, LEAST_S)
