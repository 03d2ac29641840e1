"""How fast a run is, once it is warm, and what more ranks gain.

Of each life the first part of its time does not count: caches fill, threads start, ranks fall into
step. A rank's step is counted where it begins after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mpitrain.analysis.facts import hosts_of, run_facts
from mpitrain.analysis.phase_times import PhaseTimes
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.scan import Rows, scan
from mpitrain.analysis.time_axis import time_axis

WARM_UP = 0.1


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a run was.

    Attributes:
        directory: of the run.
        mode: and bound, None where there is none.
        bound: see mode.
        status: of the run; None where nothing says.
        ranks: it ran on.
        nodes: with a rank.
        steps: that count, of all ranks.
        samples: in their mini-batches.
        seconds: that they took; 0 where no step counts.
        wait_share: of the ranks' time in these steps.
        staleness: mean over the steps, None where none counts.
    """

    directory: str
    mode: str | None
    bound: int | None
    status: str | None
    ranks: int
    nodes: int
    steps: int
    samples: int
    seconds: float
    wait_share: float
    staleness: float | None

    @property
    def steps_per_s(self) -> float | None:
        """Steps of all ranks in a second."""
        return self.steps / self.seconds if self.seconds and self.steps else None

    @property
    def samples_per_s(self) -> float | None:
        """Samples of all ranks in a second."""
        return self.samples / self.seconds if self.seconds and self.samples else None


class WarmSteps:
    """Adds up the steps of one log that begin late enough.

    Args:
        from_s: in seconds of the life.
    """

    names = (*PhaseTimes.names, "staleness_mean")

    def __init__(self, from_s: float) -> None:
        self._from_s = from_s
        self.phases = PhaseTimes()
        self.staleness_sum = 0.0

    def look(self, first: int, rows: Rows) -> None:
        """Add the steps of a slice."""
        is_warm = rows["began_s"] >= self._from_s
        if not is_warm.any():
            return
        kept = {name: rows[name][is_warm] for name in self.names}
        self.phases.look(self.phases.num_steps, kept)
        self.staleness_sum += float(np.nansum(kept["staleness_mean"], dtype=np.float64))


def speed_of(run: Opened, warm_up: float = WARM_UP) -> Speed:
    """Return how fast a run was; reads each log once.

    Args:
        run: finished, running or killed.
        warm_up: share of the time of each life that does not count, 0 <= warm_up < 1.
    """
    axis, facts = time_axis(run.chain), run_facts(run)
    logs = list[WarmSteps]()
    for stretch, begin_s, length_s in zip(run.chain, axis.begins_s, axis.lengths_s, strict=True):
        for segment in stretch.segments():
            logs.append(WarmSteps(begin_s + warm_up * length_s))
            scan(segment.log, [logs[-1]], segment.num_rows)
    steps = sum(log.phases.num_steps for log in logs)
    spans_s = sum(log.phases.facts()["seconds"] for log in logs)
    waits_s = sum(log.phases.seconds["wait"] for log in logs)
    return Speed(
        **{name: facts[name] for name in ("directory", "mode", "bound", "status", "ranks")},
        nodes=len(hosts_of(run.newest)),
        steps=steps,
        samples=sum(log.phases.num_samples for log in logs),
        seconds=(1.0 - warm_up) * axis.seconds,
        wait_share=waits_s / spans_s if spans_s else 0.0,
        staleness=sum(log.staleness_sum for log in logs) / steps if steps else None,
    )


def scaling_of(speeds: Sequence[Speed]) -> list[dict[str, Any]]:
    """Return a row for each run, by ranks: its speed, the speed-up and how much of it is lost.

    Speed-up is in samples per second, over the run with the fewest ranks; efficiency is that
    divided by how many times as many ranks there are. Where a speed is unknown, both are None.
    """
    ordered = sorted(speeds, key=lambda speed: speed.ranks)
    base = ordered[0] if ordered else None
    rows = []
    for speed in ordered:
        speed_up = _ratio(speed.samples_per_s, base.samples_per_s if base else None)
        times = speed.ranks / base.ranks if base and base.ranks else None
        rows.append(
            {
                **asdict(speed),
                "steps_per_s": speed.steps_per_s,
                "samples_per_s": speed.samples_per_s,
                "speed_up": speed_up,
                "efficiency": _ratio(speed_up, times),
            }
        )
    return rows


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None
