"""Which ranks are stragglers, in which phase and when: arithmetic on sums over windows of time.

A rank is a straggler when its own part of a step (everything but waiting) takes 1.5 times as long
as the median of the other ranks', or 1.2 times where it stands out: where the others lie four times
as close together. And it must matter, being more than a twentieth of a whole step.

Why these numbers: in thirty even runs of four ranks that took turns on two cores, mostly beside
other jobs, with noisy steps of 0.1 to 1.3 ms, a rank's mean was at most 1.16 times the others'
median, and once 1.33 times, among others that lay far apart; beside a true straggler, in
asynchronous runs of 0.3 s, an innocent rank had 1.4 times, among such others too.
The median of the others stays right with several stragglers, up to half of the ranks. The
longest one in a hundred of a rank's steps counts as long as the next longest: one stop of the
machine makes no straggler (the longest steps are named by themselves), a heavy tail still does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.phases import OWN, Phases, Seconds

SLOW = 1.5  # times the median of the others
LITTLE = 1.2  # the same, of a rank that stands out
CLOSE = 0.25  # of its distance: how far the others may lie apart then
MATTERS = 0.05  # of a whole step
CAP = 0.99  # quantile of a rank's steps
LEAST_ROWS = 20  # of a rank that is judged
WINDOW_ROWS = 20  # of a rank, in the mean
MOST_WINDOWS = 200


@dataclass(frozen=True, kw_only=True)
class Straggler:
    """A rank that was late.

    Attributes:
        rank: number.
        phase: in which most of its lateness arose.
        phase_share: of its lateness.
        times: its own part of a step, in that of the others.
        late_s: how much longer than the others a step took it, seconds, mean.
        spans: begin and end of the times in which it was slow, seconds of training.
        span_share: of the time of the run.
    """

    rank: int
    phase: str
    phase_share: float
    times: float
    late_s: float
    spans: list[tuple[float, float]]
    span_share: float


class Windows:
    """Sums over windows of time, per rank and phase; ranks are added one after the other.

    Attributes:
        edges_s: (W + 1,), seconds of training.
        num_rows: (P, W), int64, steps that began in each window.
        own_s: (P, 4, W), by ``phases.OWN``, the longest steps cut.
        wait_s: (P, W).
    """

    def __init__(self, size: int, seconds: float, rows_per_rank: float) -> None:
        """Begin with nothing; ``seconds`` is the length of the run."""
        num = int(np.clip(rows_per_rank / WINDOW_ROWS, 1, MOST_WINDOWS))
        self.edges_s = np.linspace(0.0, max(seconds, 1e-9), num + 1)
        self.num_rows = np.zeros((size, num), np.int64)
        self.own_s = np.zeros((size, len(OWN), num))
        self.wait_s = np.zeros((size, num))

    def add(self, rank: int, phases: Phases, offset_s: float) -> None:
        """Add the steps of a rank in one life; ``offset_s`` makes its times seconds of training."""
        if not phases.num_rows:
            return
        num = len(self.edges_s) - 1
        place = (phases.began_s + offset_s) * (num / self.edges_s[-1])
        place = np.clip(place, 0, num - 1).astype(np.int64)
        self.num_rows[rank] += np.bincount(place, minlength=num)
        self.wait_s[rank] += np.bincount(place, phases.wait_s, num)
        for phase, own_s in enumerate(cut_s(phases)):
            self.own_s[rank, phase] += np.bincount(place, own_s, num)


def cut_s(phases: Phases) -> Seconds:
    """Return ``own_s`` with the longest steps cut to the quantile ``CAP``, phases in proportion."""
    whole_s = phases.own_s.sum(axis=0)
    most_s = np.quantile(whole_s, CAP)
    factor = np.ones_like(whole_s)
    np.divide(most_s, whole_s, out=factor, where=whole_s > most_s)
    cut: Seconds = phases.own_s * factor
    return cut


def others_median(values: Seconds) -> Seconds:
    """Return for each rank the median of the other ranks' values: (P, ...) -> (P, ...).

    NaN stands for a rank that is not there.
    """
    table = values.reshape(len(values), -1)
    found = np.full(table.shape, np.nan)
    for rank in range(len(table)):
        others = np.delete(table, rank, axis=0)
        is_there = ~np.isnan(others).all(axis=0)
        found[rank, is_there] = np.nanmedian(others[:, is_there], axis=0)
    return found.reshape(values.shape)


def stragglers_of(windows: Windows) -> list[Straggler]:
    """Return the ranks that were late, the one that was late most first."""
    rows = windows.num_rows.sum(axis=1)
    num = np.where(rows > 0, rows, np.nan)
    phases_s = windows.own_s.sum(axis=2) / num[:, np.newaxis]
    own_s = phases_s.sum(axis=1)
    usual_s = others_median(own_s)
    # who did few steps because they took long is judged too
    is_judged = (rows >= LEAST_ROWS) | (own_s * rows >= LEAST_ROWS * usual_s)
    step_s = float(np.nanmean(own_s + windows.wait_s.sum(axis=1) / num))
    more_s = own_s - usual_s
    is_slow = (own_s >= SLOW * usual_s) | ((own_s >= LITTLE * usual_s) & _stands_out(own_s, more_s))
    is_slow &= is_judged & (more_s >= MATTERS * step_s)
    late_s = phases_s - others_median(phases_s)
    found = [
        _straggler(windows, int(rank), late_s[rank], float(own_s[rank]), float(usual_s[rank]))
        for rank in np.flatnonzero(is_slow)
    ]
    return sorted(found, key=lambda one: -one.late_s)


def _stands_out(own_s: Seconds, more_s: Seconds) -> npt.NDArray[np.bool_]:
    """Tell of whom the others, three at least, lie close together, (P,)."""
    found = np.zeros(len(own_s), np.bool_)
    for rank in range(len(own_s)):
        others = np.delete(own_s, rank)
        others = others[~np.isnan(others)]
        found[rank] = len(others) > 2 and np.ptp(others) <= CLOSE * more_s[rank]
    return found


def _straggler(
    windows: Windows, rank: int, late_s: Seconds, own_s: float, usual_s: float
) -> Straggler:
    phase = int(np.argmax(late_s))
    more_s = np.maximum(late_s, 0.0)
    is_late = _slow_windows(windows, rank, usual_s)
    return Straggler(
        rank=rank,
        phase=OWN[phase],
        phase_share=float(more_s[phase] / more_s.sum()) if more_s.sum() else 0.0,
        times=own_s / usual_s if usual_s else np.inf,
        late_s=own_s - usual_s,
        spans=_spans(windows.edges_s, is_late),
        span_share=float(is_late.mean()),
    )


def _slow_windows(windows: Windows, rank: int, usual: float) -> npt.NDArray[np.bool_]:
    """Tell in which windows a rank was slow, (W,); one without a step of it is as before.

    ``usual`` is what a step takes the others, seconds, over the whole run.
    """
    rows = windows.num_rows.astype(np.float64)
    rows[rows == 0] = np.nan
    own_s = windows.own_s.sum(axis=1) / rows
    usual_s = others_median(own_s)[rank]
    usual_s[np.isnan(usual_s)] = usual  # the others had no step then
    is_late = own_s[rank] >= LITTLE * usual_s
    has_rows = ~np.isnan(rows[rank])
    before = np.maximum.accumulate(np.where(has_rows, np.arange(len(is_late)), 0))
    carried: npt.NDArray[np.bool_] = is_late[before]
    return carried


def _spans(edges_s: Seconds, is_late: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    changes = np.diff(np.concatenate([[0], is_late.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return [(float(edges_s[a]), float(edges_s[b])) for a, b in zip(begins, ends, strict=True)]
