"""The timeline of a run in bins of time, rank by rank, small whatever its length.

Rows are read rank by rank and let go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.phases import LOGGED, Phases, read_phases
from mpitrain.analysis.pieces import Piece, pieces_of, size_of
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.time_axis import PHASES, Times

MAX_BINS = 240
ROWS_PER_BIN = 4
MAX_STALENESS = 1 << 20  # beyond, updates are counted as this one
MAX_COUNTED = 64

SUMS = ("steps", "samples", "loss", "loss_samples", "staleness", "lead", "lead_max", *PHASES)
_COLUMNS = ("lead", "staleness_mean", "loss", "num_samples")
_ORDER = PHASES
_BSP_ORDER = ("read_s", "compute_s", "wait_s", "write_s")
"""In bsp the wait is the collective, which comes after the gradient."""


@dataclass(frozen=True, eq=False)
class Binned:
    """A run, binned.

    Attributes:
        edges_s: (B + 1,), float64: seconds of training.
        ranks: the ranks that have rows, increasing; R of them.
        sums: by name in ``SUMS``, (R, B), float64: over the steps that ended in the bin; ``loss``
            is the sum of loss x samples over ``loss_samples``, ``lead_max`` the largest, and the
            phases are the seconds that lie in the bin.
        counts: (staleness,), int64: updates by their mean staleness, rounded; per rank, or of all
            together where there are more than ``MAX_COUNTED`` ranks.
        waited_s: (R, N + 1), float64: how long each waited for rank 0 to N - 1, and for nobody.
        pieces: the lives.
        notes: what is lacking.
    """

    edges_s: Times
    ranks: list[int]
    sums: dict[str, npt.NDArray[np.float64]]
    counts: list[npt.NDArray[np.int64]]
    waited_s: npt.NDArray[np.float64]
    pieces: list[Piece]
    notes: list[str] = field(default_factory=list)

    def total(self, name: str) -> Times:
        """Return the sum of a quantity over time, (R,), float64."""
        totals: Times = self.sums[name].sum(axis=1)
        return totals

    @property
    def middles_s(self) -> Times:
        """The middle of every bin, (B,), float64."""
        middles: Times = (self.edges_s[1:] + self.edges_s[:-1]) / 2
        return middles

    def steps_done(self) -> Times:
        """Return the steps of all ranks together at the end of every bin, (B,), float64."""
        done: Times = np.cumsum(self.sums["steps"].sum(axis=0))
        return done

    def staleness_counts(self) -> npt.NDArray[np.int64]:
        """Return the updates of all ranks by staleness, (longest,), int64."""
        total = np.zeros(1, np.int64)
        for counts in self.counts:
            total = _added(total, counts)
        return total

    def histogram(self) -> npt.NDArray[np.int64]:
        """Return ``counts`` as one table, (R or 1, longest), int64."""
        table = np.zeros((len(self.counts), max(map(len, self.counts), default=0)), np.int64)
        for row, counts in zip(table, self.counts, strict=True):
            row[: len(counts)] = counts
        return table


def binned_of(run: Opened, num_bins: int | None = None) -> Binned:
    """Bin the timeline of a run.

    Args:
        run: its logs.
        num_bins: of time; None chooses by the number of rows, at most ``MAX_BINS``.

    Raises:
        LogError: no rank has a row.
    """
    pieces, notes = pieces_of(run)
    ranks = sorted({rank for piece in pieces for rank in piece.segments})
    bins = num_bins or min(MAX_BINS, max(8, run.num_rows // len(ranks) // ROWS_PER_BIN))
    binned = Binned(
        run.axis.edges_s(bins),
        ranks,
        {name: np.zeros((len(ranks), bins)) for name in SUMS},
        [],
        np.zeros((len(ranks), size_of(pieces) + 1)),
        pieces,
        notes,
    )
    for index, rank in enumerate(ranks):
        binned.counts.append(_add_rank(binned, index, rank))
        if len(ranks) > MAX_COUNTED:
            binned.counts[:] = [binned.staleness_counts()]
    return binned


def _add_rank(binned: Binned, index: int, rank: int) -> npt.NDArray[np.int64]:
    """Add the rows of one rank to the sums; return its counts by staleness."""
    counts = np.zeros(1, np.int64)
    size = binned.waited_s.shape[1] - 1
    for piece in binned.pieces:
        if rank not in piece.segments:
            continue
        phases = read_phases(piece.segments[rank], _COLUMNS)
        _add_steps(binned, index, phases.more, phases.ended_s + piece.offset_s)
        _add_phases(binned, index, phases, piece)
        binned.waited_s[index] += piece.waited_s(rank, phases, size)
        counts = _added(counts, _counts(phases.more["staleness_mean"]))
    return counts


def _add_phases(binned: Binned, index: int, phases: Phases, piece: Piece) -> None:
    """Add the seconds of each phase to the bins in which they lie."""
    own_s = {f"{name}_s": own_s for name, own_s in zip(LOGGED, phases.own_s, strict=False)}
    spans_s = own_s | {"wait_s": phases.wait_s}
    began_s = phases.began_s + piece.offset_s
    for name in _BSP_ORDER if piece.mode == "bsp" else _ORDER:
        binned.sums[name][index] += seconds_in_bins(binned.edges_s, began_s, spans_s[name])
        began_s = began_s + spans_s[name]


def _add_steps(
    binned: Binned, index: int, columns: Mapping[str, npt.NDArray[Any]], ended_s: Times
) -> None:
    """Add what belongs to the bin in which a step ended."""
    bins = len(binned.edges_s) - 1
    place = np.clip(np.searchsorted(binned.edges_s, ended_s, "left") - 1, 0, bins - 1)
    samples, loss = columns["num_samples"].astype(np.float64), columns["loss"].astype(np.float64)
    is_finite = np.isfinite(loss)

    def add(name: str, values: Any = None, where: Any = slice(None)) -> None:
        binned.sums[name][index] += np.bincount(place[where], values, minlength=bins)

    add("steps")
    add("samples", samples)
    add("loss", (loss * samples)[is_finite], is_finite)
    add("loss_samples", samples[is_finite], is_finite)
    add("staleness", columns["staleness_mean"])
    add("lead", columns["lead"])
    np.maximum.at(binned.sums["lead_max"][index], place, columns["lead"])


def seconds_in_bins(
    edges_s: Times, began_s: Times, spans_s: npt.NDArray[np.floating[Any]]
) -> Times:
    """Return how many seconds of some spans, which follow each other, lie in each bin.

    Args:
        edges_s: (B + 1,), increasing.
        began_s: (n,), when each span began, increasing.
        spans_s: (n,), its length; one that reaches into the next is counted whole.

    Returns:
        (B,), float64.
    """
    if not len(began_s):
        return np.zeros(len(edges_s) - 1)
    spans = spans_s.astype(np.float64)
    done = np.cumsum(spans)
    times = np.column_stack([began_s, began_s + spans]).ravel()
    seconds = np.column_stack([done - spans, done]).ravel()
    np.maximum.accumulate(times, out=times)
    inside: Times = np.diff(np.interp(edges_s, times, seconds))
    return inside


def _counts(staleness: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    whole = np.rint(np.clip(np.nan_to_num(staleness), 0, MAX_STALENESS)).astype(np.int64)
    counts: npt.NDArray[np.int64] = np.bincount(whole)
    return counts


def _added(these: npt.NDArray[np.int64], those: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    short, long = sorted((these, those), key=len)
    total = long.copy()
    total[: len(short)] += short
    return total


def quantile_of(counts: npt.NDArray[np.int64], share: float) -> int:
    """Return the smallest value that at least this share of what was counted does not exceed."""
    reached = np.cumsum(counts) >= share * counts.sum()
    return int(np.argmax(reached))
