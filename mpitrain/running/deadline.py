"""When a life is to stop by itself."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mpitrain.config import Config
from mpitrain.slurm import Slurm

SLURM_LIMIT = "Slurm's limit"  # in the reason of a stop
LEAST_SHARE = 0.5  # of what is left at the start of a life: less would be no life


@dataclass(frozen=True)
class Deadline:
    """A time at which the run is to stop.

    Attributes:
        at_s: on the monotonic clock.
        reason: for people, for example "run.limit_s = 3600".
    """

    at_s: float
    reason: str


def earliest_deadline(config: Config, began_s: float, job: Slurm | None) -> Deadline | None:
    """Return the earliest of a life's limits, None without one; may ask Slurm, so for rank 0.

    Args:
        config: of the run.
        began_s: when the life began, on the monotonic clock.
        job: the Slurm job that this is, if any.
    """
    run, deadlines = config.run, []
    if run.limit_s is not None:
        deadlines.append(Deadline(began_s + run.limit_s, f"run.limit_s = {run.limit_s:g}"))
    before_s = run.stop_before_limit_s
    if before_s is not None and job is not None and config.checkpoint.enabled:
        left_s = job.time_left_s(time.time())
        if left_s is not None:
            before_s = min(before_s, left_s * LEAST_SHARE)
            at_s = time.monotonic() + left_s - before_s
            deadlines.append(Deadline(at_s, f"{before_s:g} s before {SLURM_LIMIT}"))
    return min(deadlines, key=lambda deadline: deadline.at_s, default=None)
