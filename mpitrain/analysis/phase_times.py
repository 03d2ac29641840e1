"""Where the time of each rank went: computing, reading, writing, waiting, and between the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mpitrain.analysis.readable import Opened
from mpitrain.analysis.scan import Rows, scan

PHASES = {"compute": "compute_s", "read": "read_s", "write": "write_s", "wait": "wait_s"}


class PhaseTimes:
    """Adds up the phases of a rank's steps.

    Attributes:
        num_steps: looked at.
        num_samples: in their mini-batches.
        seconds: in each phase, by name; what is not finite counts as 0.
        span_s: from the first step's begin to the last one's end, pauses between lives left out.
    """

    names = ("began_s", "num_samples", *PHASES.values())

    def __init__(self) -> None:
        self.num_steps = self.num_samples = 0
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.span_s = 0.0
        self._begin_s = 0.0  # of this life's first step
        self._counted_s = 0.0  # of this life so far

    def look(self, first: int, rows: Rows) -> None:
        """Add the steps of a slice."""
        began_s = rows["began_s"]
        self.num_steps += len(began_s)
        self.num_samples += int(rows["num_samples"].sum(dtype=np.int64))
        last_s = 0.0
        for name, column in PHASES.items():
            values = np.nan_to_num(rows[column], nan=0.0, posinf=0.0, neginf=0.0)
            self.seconds[name] += float(values.sum(dtype=np.float64))
            last_s += float(values[-1])
        if first == 0:
            self._begin_s, self._counted_s = float(began_s[0]), 0.0
        counted_s = float(began_s[-1]) + last_s - self._begin_s
        if np.isfinite(counted_s):
            self.span_s += counted_s - self._counted_s
            self._counted_s = counted_s

    def facts(self) -> dict[str, Any]:
        """Return steps, samples, seconds and the share of the time in each phase."""
        busy_s = sum(self.seconds.values())
        span_s = max(self.span_s, busy_s)
        parts = {**self.seconds, "other": span_s - busy_s}
        return {
            "steps": self.num_steps,
            "samples": self.num_samples,
            "seconds": span_s,
            "phases_s": parts,
            "shares": shares_of(parts),
        }


def times_of(run: Opened) -> dict[int, PhaseTimes]:
    """Return where the time of each rank went over a run's timeline, by rank."""
    times: dict[int, PhaseTimes] = {}
    for segment in run.segments():
        scan(segment.log, [times.setdefault(segment.rank, PhaseTimes())], segment.num_rows)
    return times


def totals_of(run: Opened, times: Mapping[int, PhaseTimes]) -> dict[str, Any]:
    """Return a run's samples, seconds, rates and shares of time: what all tools say of it.

    Args:
        run: its logs.
        times: of all its ranks.
    """
    seconds = run.axis.seconds
    samples = sum(phases.num_samples for phases in times.values())
    facts = [phases.facts()["phases_s"] for phases in times.values()]
    return {
        "samples": samples,
        "seconds": seconds,
        "steps_per_s": run.num_rows / seconds if seconds else None,
        "samples_per_s": samples / seconds if seconds else None,
        "shares": shares_of({name: sum(p[name] for p in facts) for name in (*PHASES, "other")}),
    }


def shares_of(parts: dict[str, float]) -> dict[str, float]:
    """Return parts divided by their sum; zeros where it is 0."""
    whole = sum(parts.values())
    return {name: part / whole if whole else 0.0 for name, part in parts.items()}
