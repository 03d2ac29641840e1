"""What a schedule says of a run: staleness, lead, speed, waiting; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.schedules.schedule import Counts, Schedule

QUANTILES = (0.5, 0.9, 0.99)


def staleness_of(schedule: Schedule) -> tuple[Counts, Counts]:
    """Return staleness and the rank's own missing updates: (U, S), int64 each."""
    if schedule.is_collective:
        zeros = np.zeros(schedule.read.shape, np.int64)
        return zeros, zeros
    is_first = np.ones(schedule.num_updates, np.bool_)
    is_first[1:] = schedule.rank[1:] != schedule.rank[:-1]
    before = np.full(schedule.written.shape, schedule.first_version, np.int64)
    before[1:] = schedule.written[:-1]
    before[is_first] = schedule.first_version
    own = (before > schedule.read).astype(np.int64)
    return schedule.written - 1 - schedule.read - own, own


def seconds_of(schedule: Schedule) -> float:
    """Return the time from the first step's begin to the last one's end; 0 without times."""
    times = schedule.times
    if not times or not schedule.num_updates:
        return 0.0
    lengths = sum(times[name] for name in ("wait_s", "read_s", "compute_s", "write_s"))
    return float((times["began_s"] + lengths).max() - times["began_s"].min())


def summary_of(
    schedule: Schedule, weights: npt.NDArray[np.float64] | None = None
) -> Mapping[str, Any]:
    """Return what a schedule predicts, by name.

    Args:
        schedule: with times.
        weights: (S,), of the shards in the mean staleness; None takes all alike.
    """
    tau = staleness_of(schedule)[0]
    mean = tau.mean(axis=1) if weights is None else tau @ weights
    seconds, times = seconds_of(schedule), schedule.times
    busy_s = sum(float(times[n].sum()) for n in ("wait_s", "read_s", "compute_s", "write_s"))
    return {
        "ranks": schedule.size,
        "steps": schedule.num_updates,
        "seconds": seconds,
        "steps_per_s": schedule.num_updates / seconds if seconds else 0.0,
        "wait_share": float(times["wait_s"].sum()) / busy_s if busy_s else 0.0,
        "staleness_mean": float(mean.mean()) if len(mean) else 0.0,
        "staleness_max": int(tau.max(initial=0)),
        **{
            f"staleness_p{round(100 * q)}": float(np.quantile(mean, q)) if len(mean) else 0.0
            for q in QUANTILES
        },
        "lead_max": int(schedule.lead.max(initial=0)),
        "lead_mean": float(schedule.lead.mean()) if len(mean) else 0.0,
    }
