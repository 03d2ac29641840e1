"""When a life is to stop by itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mpitrain.config import Run
from mpitrain.slurm import Slurm


@dataclass(frozen=True)
class Deadline:
    """A time at which the run is to stop.

    Attributes:
        at_s: on the monotonic clock.
        reason: for people, for example "run.limit_s = 3600".
    """

    at_s: float
    reason: str


def earliest_deadline(run: Run, began_s: float, job: Slurm | None) -> Deadline | None:
    """Return the earliest of a life's limits, None without one; may ask Slurm, so for rank 0.

    Args:
        run: what the run file says.
        began_s: when the life began, on the monotonic clock.
        job: the Slurm job that this is, if any.
    """
    deadlines = []
    if run.limit_s is not None:
        deadlines.append(Deadline(began_s + run.limit_s, f"run.limit_s = {run.limit_s:g}"))
    if run.stop_before_limit_s is not None and job is not None:
        left_s = job.time_left_s(time.time())
        if left_s is not None:
            at_s = time.monotonic() + left_s - run.stop_before_limit_s
            reason = f"{run.stop_before_limit_s:g} s before Slurm's limit"
            deadlines.append(Deadline(at_s, reason))
    return min(deadlines, key=lambda deadline: deadline.at_s, default=None)
