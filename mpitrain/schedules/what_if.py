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

from mpitrain.config import Mode
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare, SharedWork, Work
from mpitrain.core.shards import Shards
from mpitrain.schedules.measures import summary_of
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.simulator import (
    Dealing,
    NextSeconds,
    simulate_collective,
    simulate_windowed,
)
from mpitrain.schedules.trace import Seconds, Trace, trace_of

__all__ = ["MODES", "Outcome", "outcomes_of", "simulated_again", "trace_of"]

BOUNDS = (0, 1, 2, 3, 5, 8, 16, 32)
MODES = (Mode(kind="bsp"), *(Mode(kind="ssp", bound=b) for b in BOUNDS), Mode(kind="asp"))
FAR = 4.0
"""Gains beyond this are not to be relied on. Measured, two ranks with a core each, one 10 ms
late: the other's steps computed 0.12 ms between waits under a bound of 3, 0.05 ms without waits."""


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
    gain = found["steps_per_s"] / base if base else float("nan")
    return Outcome(
        mode=mode.kind,
        bound=mode.bound if mode.kind == "ssp" else None,
        gain=gain,
        simulated_steps_per_s=found["steps_per_s"],
        wait_share=found["wait_share"],
        staleness_mean=found["staleness_mean"],
        is_own=_order(mode) == _order(own),
        rough_because=_rough_because(trace, mode, gain),
    )


def _rough_because(trace: Trace, mode: Mode, gain: float) -> str | None:
    if trace.crowded is not None:
        return f"{trace.crowded}: the more of them compute at once, the longer their steps take"
    if (mode.kind == "bsp") != (trace.fit.mode == "bsp"):
        return "this run says little of what that mode's exchange costs"
    if not 1 / FAR <= gain <= FAR:
        return "far from this run: steps in a row are faster than those between long waits"
    return None


def simulated_again(trace: Trace, mode: Mode) -> Schedule:
    """Return the schedule of the run's steps in a mode."""
    fit = trace.fit
    size = fit.size
    steps = sum(map(len, trace.collective_s))
    shards = Shards(fit.num_shards, fit.num_shards, size)
    if mode.kind == "bsp":
        work = EqualShare(steps, size)
        compute = _in_order(trace.collective_s)
        num_rounds, count = work.num_rounds, shards.count
        costs = trace.collective_costs
        return simulate_collective(size, num_rounds, count, compute, work.ticket, costs)
    is_equal = trace.share == "equal" and fit.mode != "bsp"
    windowed: Work = EqualShare(steps, size) if is_equal else SharedWork(steps)
    rule: Rule = Unbounded() if mode.bound is None else Bounded(mode.bound)
    dealing = Dealing(windowed.is_left, windowed.take)
    steps_s = _in_order(trace.windowed_s)
    return simulate_windowed(shards, rule, dealing, steps_s, trace.window_costs)


def _in_order(seconds: Sequence[Seconds]) -> list[NextSeconds]:
    """Return what gives each rank's steps by clock, and again from the first after the last."""
    return [_by_clock(own_s.tolist()) for own_s in seconds]


def _by_clock(own_s: list[float]) -> NextSeconds:
    return lambda clock: own_s[clock % len(own_s)]
