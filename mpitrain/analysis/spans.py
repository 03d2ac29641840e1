"""When each phase of each step began and ended, in nanoseconds of the trace's one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Edges = npt.NDArray[np.int64]

PHASE_COLUMNS = ("wait_s", "read_s", "compute_s", "write_s")
TIME_COLUMNS = ("began_s", *PHASE_COLUMNS)
BEGAN, READ_BEGAN, READ_ENDED, WRITE_BEGAN, ENDED = range(5)
"""Columns of edges; between two neighbours lies a phase: wait, read, compute, write."""

LONGEST_S = 1e8  # three years: what a damaged row says beyond that is cut


@dataclass(frozen=True)
class Window:
    """Which steps are told: those that overlap a time and whose clock is in a range.

    Attributes:
        from_ns: the time's start; None from the first.
        to_ns: its end; None to the last.
        first_clock: of the range.
        stop_clock: the first that is no longer in it; None without end.
    """

    from_ns: int | None = None
    to_ns: int | None = None
    first_clock: int = 0
    stop_clock: int | None = None

    def has(self, edges: Edges, clocks: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which rows are told, (rows,).

        Args:
            edges: (rows, 5), of the steps.
            clocks: (rows,), of the steps.
        """
        told = clocks >= self.first_clock
        if self.stop_clock is not None:
            told &= clocks < self.stop_clock
        if self.from_ns is not None:
            told &= edges[:, ENDED] >= self.from_ns
        if self.to_ns is not None:
            told &= edges[:, BEGAN] <= self.to_ns
        return told


def edges_of(columns: Mapping[str, npt.NDArray[Any]], zero_ns: int, least_ns: int) -> Edges:
    """Return the edges of the phases of some steps of one rank.

    A step's phases follow each other without a gap. They are logged as float32: where rounding
    would let one reach into the next step, the next one begins that much later.

    Args:
        columns: ``TIME_COLUMNS``, (rows,), seconds; rows in order.
        zero_ns: place of the life's common zero in the trace.
        least_ns: end of the step before, which none of these begins before.

    Returns:
        (rows, 5), int64, never falling from one to the next, row by row.
    """
    began_s = _finite(columns["began_s"])
    lengths_s = [_finite(columns[name]) for name in PHASE_COLUMNS]
    seconds = np.stack([began_s, *lengths_s], axis=1).cumsum(axis=1)
    edges = np.rint(seconds * 1e9).astype(np.int64) + zero_ns
    flat = np.maximum(edges.reshape(-1), least_ns)
    return np.maximum.accumulate(flat).reshape(-1, 5)


def latest_reads(edges: Edges) -> npt.NDArray[np.int64]:
    """Return when the reads of some steps had ended at the latest, (rows,), int64.

    Between the phases a little time passes that no column has, more where ranks share a core. So a
    read may have ended later than the phases before it say, but what followed it had ended when the
    next step began. For the last row that is not known, and the largest number stands there.
    """
    latest = np.full(len(edges), np.iinfo(np.int64).max)
    latest[:-1] = edges[1:, BEGAN] - (edges[:-1, ENDED] - edges[:-1, READ_ENDED])
    return latest


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    plain = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=LONGEST_S)
    return np.clip(plain, 0.0, LONGEST_S)
