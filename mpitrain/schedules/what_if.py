"""What a run would have gained under another bound or mode: its own steps, simulated again; pure.

The simulated ranks take the times that the steps of the real ones took, in order, so lateness comes
in the same bursts and at the same clocks. A gain is the simulated speed under the other rule over
the simulated speed under the run's own, so what the simulator leaves out counts on both sides.

What it cannot know: steps that become faster or slower because others wait less, as where ranks
share cores or a window is crowded; and what a reduction costs in a run that has none, or a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import needed_terms_of
from mpitrain.analysis.crowding import crowded
from mpitrain.config import Mode
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare, SharedWork, Work
from mpitrain.core.shards import Shards
from mpitrain.schedules.durations import LEAST_S
from mpitrain.schedules.fit import LEAST_ROWS, Fit, fit_of_rows
from mpitrain.schedules.measures import summary_of
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.simulator import (
    Dealing,
    NextSeconds,
    simulate_collective,
    simulate_windowed,
)
from mpitrain.storage.life_log import LifeLog
from mpitrain.storage.rank_log import RankLog

Seconds = npt.NDArray[np.float64]

BOUNDS = (0, 1, 2, 3, 5, 8, 16, 32)
MODES = (Mode(kind="bsp"), *(Mode(kind="ssp", bound=b) for b in BOUNDS), Mode(kind="asp"))
STEPS_PER_RANK = 2000  # that are simulated at most
MOST_STEPS = 10_000  # of all ranks together
NUM_PIECES = 4  # of a longer log, evenly spread
COLUMNS = ("began_s", "wait_s", "read_s", "compute_s", "write_s")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one mode and bound would do.

    Attributes:
        mode: "bsp", "ssp" or "asp".
        bound: of ssp.
        gain: speed over that of the run's own mode and bound; 1.5 is half as much again.
        simulated_steps_per_s: of all ranks, in the simulator; that of the run's own mode, held
            against the run, tells how well the simulator does.
        wait_share: of the ranks' time.
        staleness_mean: updates of others that a gradient would not know of.
        is_own: the run's own mode and bound.
        rough_because: why the figures may be far off; None where nothing speaks for that.
    """

    mode: str
    bound: int | None
    gain: float
    simulated_steps_per_s: float
    wait_share: float
    staleness_mean: float
    is_own: bool
    rough_because: str | None

    @property
    def is_rough(self) -> bool:
        """Whether there is a reason."""
        return self.rough_because is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Steps of all ranks as they were.

    Attributes:
        fit: costs and kind of the run.
        collective_s: of each rank, (N,), seconds of each step that a synchronous run has too.
        windowed_s: the same with what reading and writing took more or less than usual.
        share: of the batches, "equal" or "shared".
        crowded: which ranks take turns on too few cores; None where none do, or nothing says.
    """

    fit: Fit
    collective_s: Sequence[Seconds]
    windowed_s: Sequence[Seconds]
    share: str
    crowded: str | None = None


class _Rows:
    """Some rows of a log, as ``fit`` reads them."""

    def __init__(self, log: RankLog, num_wanted: int) -> None:
        num_rows = log.num_rows
        ((_, whole),) = log.slices(COLUMNS, num_rows, num_rows)
        places = _places(num_rows, num_wanted)
        self.steps = {name: np.asarray(whole[name][places], np.float64) for name in COLUMNS}
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
    return Trace(
        fit=fit,
        collective_s=[_own_s(one, fit, ()) for one in rows],
        windowed_s=[_own_s(one, fit, ("read_s", "write_s")) for one in rows],
        share=terms.share,
        crowded=crowded(life),
    )


def _own_s(rows: _Rows, fit: Fit, exchanged: Sequence[str]) -> Seconds:
    """Return what each step took beyond what the simulator's costs stand for, (N,)."""
    steps, costs = rows.steps, fit.costs
    ended_s = np.sum([steps[name] for name in COLUMNS], axis=0)
    between_s = steps["began_s"][1:] - ended_s[:-1]
    between_s[rows.is_joint] = 0.0
    own_s = steps["compute_s"].copy()
    own_s[:-1] += np.maximum(between_s - costs.overhead_s, 0.0)
    if fit.mode != "bsp":
        usual_s = {"read_s": costs.read_s, "write_s": costs.write_s}
        for name in exchanged:
            own_s += steps[name] - usual_s[name] * fit.num_shards
    return np.maximum(own_s, LEAST_S)


def outcomes_of(trace: Trace, modes: Sequence[Mode] = MODES) -> list[Outcome]:
    """Return what the run would do in each of these modes, and in its own if it is not there."""
    own = Mode(kind=trace.fit.mode, bound=trace.fit.bound if trace.fit.mode == "ssp" else None)
    if own not in modes:
        modes = sorted([*modes, own], key=_order)
    found = {_order(mode): summary_of(simulated_again(trace, mode)) for mode in modes}
    base = found[_order(own)]["steps_per_s"]
    return [_outcome(trace, mode, own, found[_order(mode)], base) for mode in modes]


def _order(mode: Mode) -> tuple[int, int]:
    return ("bsp", "ssp", "asp").index(mode.kind), -1 if mode.bound is None else mode.bound


def _outcome(
    trace: Trace, mode: Mode, own: Mode, found: Mapping[str, float], base: float
) -> Outcome:
    return Outcome(
        mode=mode.kind,
        bound=mode.bound if mode.kind == "ssp" else None,
        gain=found["steps_per_s"] / base if base else float("nan"),
        simulated_steps_per_s=found["steps_per_s"],
        wait_share=found["wait_share"],
        staleness_mean=found["staleness_mean"],
        is_own=_order(mode) == _order(own),
        rough_because=None if mode == own else _rough_because(trace, mode),
    )


def _rough_because(trace: Trace, mode: Mode) -> str | None:
    if trace.crowded is not None:
        return f"{trace.crowded}: the more of them compute at once, the longer their steps take"
    if (mode.kind == "bsp") != (trace.fit.mode == "bsp"):
        return "this run says little of what that mode's exchange costs"
    return None


def simulated_again(trace: Trace, mode: Mode) -> Schedule:
    """Return the schedule of the run's steps in a mode."""
    fit = trace.fit
    size, costs = fit.size, fit.costs
    steps = sum(map(len, trace.collective_s))
    shards = Shards(fit.num_shards, fit.num_shards, size)
    if mode.kind == "bsp":
        work = EqualShare(steps, size)
        compute = _in_order(trace.collective_s)
        num_rounds, count = work.num_rounds, shards.count
        return simulate_collective(size, num_rounds, count, compute, work.ticket, costs)
    is_equal = trace.share == "equal" and fit.mode != "bsp"
    windowed: Work = EqualShare(steps, size) if is_equal else SharedWork(steps)
    rule: Rule = Unbounded() if mode.bound is None else Bounded(mode.bound)
    dealing = Dealing(windowed.is_left, windowed.take)
    return simulate_windowed(shards, rule, dealing, _in_order(trace.windowed_s), costs)


def _in_order(seconds: Sequence[Seconds]) -> list[NextSeconds]:
    """Return what gives each rank's steps by clock, and again from the first after the last."""
    return [_by_clock(own_s.tolist()) for own_s in seconds]


def _by_clock(own_s: list[float]) -> NextSeconds:
    return lambda clock: own_s[clock % len(own_s)]
