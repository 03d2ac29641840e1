"""Figures with time or steps along the bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mpitrain.analyse.page.axes import (
    MAX_COLOURED,
    Numbers,
    along_time,
    legend,
    panel,
    thousands,
    time_unit,
)
from mpitrain.analyse.page.style import INK, MUTED, SERIES
from mpitrain.analysis.outline import Outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_FROM = 20.0  # a loss that falls by more is drawn on a logarithmic axis
SPEED_BINS = 48  # fewer than of time: speed is a difference, and noisy
MAX_MARKED = 40  # evaluations that get a dot each

Abscissa = Callable[[Outline], tuple[Numbers, Numbers]]
"""Of a run: where its bins and where its evaluations stand."""


def by_time(run: Outline) -> tuple[Numbers, Numbers]:
    """Stand at seconds of training."""
    return run.binned.middles_s, _told(run, "time_s")


def by_steps(run: Outline) -> tuple[Numbers, Numbers]:
    """Stand at the steps of all ranks together."""
    return run.binned.steps_done(), _told(run, "steps")


def loss_figure(run: Outline) -> Figure:
    """Draw the loss of the mini-batches and that of the evaluations over time."""
    figure, axes = panel()
    unit, _ = time_unit(run.binned.edges_s[-1])
    bins, evaluated = by_time(run)
    _line(axes, bins / unit, train_loss(run), SERIES[0], "training, mean of the mini-batches")
    test = _told(run, "loss")
    _line(axes, evaluated / unit, test, SERIES[1], "test, at evaluations", is_marked=True)
    _log_where_wide(axes, [train_loss(run), test])
    axes.set_ylabel("loss per sample")
    along_time(axes, run.binned.edges_s[-1], life_starts(run))
    legend(figure, axes, 1)
    return figure


def metric_figure(run: Outline) -> Figure:
    """Draw the metric of the evaluations over time."""
    figure, axes = panel()
    unit, _ = time_unit(run.binned.edges_s[-1])
    _line(axes, by_time(run)[1] / unit, metric(run), SERIES[1], None, is_marked=True)
    axes.set_ylabel(f"{run.metric_name}, test set")
    along_time(axes, run.binned.edges_s[-1], life_starts(run))
    return figure


def lead_figure(run: Outline) -> Figure:
    """Draw how far each rank was ahead of the slowest, and how far it may be."""
    figure, axes = panel()
    unit, _ = time_unit(run.binned.edges_s[-1])
    _rank_lines(axes, run, mean_of(run, "lead"), unit)
    if run.bound is not None:
        axes.axhline(run.bound, color=INK, linewidth=1.2, linestyle="--", label="bound")
        axes.set_ylim(top=1.12 * max(1.0, run.bound, float(axes.get_ylim()[1]) / 1.12))
    axes.set_ylabel("lead (steps), mean")
    axes.set_ylim(bottom=0.0)
    thousands(axes.yaxis)
    along_time(axes, run.binned.edges_s[-1], life_starts(run))
    legend(figure, axes, 3)
    return figure


def speed_figure(run: Outline) -> Figure:
    """Draw the steps per second of all ranks together."""
    figure, axes = panel()
    unit, _ = time_unit(run.binned.edges_s[-1])
    edges_s, done = run.binned.edges_s, np.append(0.0, run.binned.steps_done())
    chosen = np.linspace(0, len(edges_s) - 1, min(SPEED_BINS + 1, len(edges_s))).astype(int)
    times, speed = edges_s[chosen] / unit, np.diff(done[chosen]) / np.diff(edges_s[chosen])
    axes.stairs(speed, times, baseline=None, color=SERIES[0], linewidth=1.6)
    axes.set_ylabel("steps/s, all ranks")
    axes.set_ylim(bottom=0.0)
    thousands(axes.yaxis)
    along_time(axes, run.binned.edges_s[-1], life_starts(run))
    return figure


def loss_comparison(runs: Sequence[Outline], labels: Sequence[str], place: Abscissa) -> Figure:
    """Draw the loss of the mini-batches of several runs."""
    tables = [(place(run)[0], train_loss(run)) for run in runs]
    return _comparison(tables, labels, place, "training loss per sample")


def metric_comparison(runs: Sequence[Outline], labels: Sequence[str], place: Abscissa) -> Figure:
    """Draw the metric of several runs."""
    tables = [(place(run)[1], metric(run)) for run in runs]
    return _comparison(tables, labels, place, f"{runs[0].metric_name}, test set", is_marked=True)


def train_loss(run: Outline) -> Numbers:
    """Return the mean loss per sample of the mini-batches of each bin, NaN where there is none."""
    sums = run.binned.sums
    return _ratio(sums["loss"].sum(axis=0), sums["loss_samples"].sum(axis=0))


def metric(run: Outline) -> Numbers:
    """Return the metric at the evaluations, NaN where one has none."""
    return _told(run, "metric")


def mean_of(run: Outline, name: str) -> Numbers:
    """Return the mean over the steps of each rank and bin, (R, B), NaN where there is no step."""
    return _ratio(run.binned.sums[name], run.binned.sums["steps"])


def life_starts(run: Outline) -> list[float]:
    """Return when the lives begin, seconds of training."""
    return [piece.start_s for piece in run.binned.pieces]


def _told(run: Outline, name: str) -> Numbers:
    """Return what the evaluations say, NaN where one does not."""
    return np.array([np.nan if one[name] is None else one[name] for one in run.evaluations], float)


def _ratio(sums: Numbers, counts: Numbers) -> Numbers:
    ratio: Numbers = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return ratio


def _rank_lines(axes: Axes, run: Outline, table: Numbers, unit: float) -> None:
    """Draw a line per rank, or for many ranks their range and their middle."""
    times = run.binned.middles_s / unit
    if len(table) <= MAX_COLOURED:
        for index, (rank, values) in enumerate(zip(run.binned.ranks, table, strict=True)):
            _line(axes, times, values, SERIES[index], f"rank {rank}")
        return
    is_there = np.isfinite(table).any(axis=0)
    times, table = times[is_there], table[:, is_there]
    low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    axes.fill_between(times, low, high, color=SERIES[0], alpha=0.25, linewidth=0, label="all ranks")
    _line(axes, times, np.nanmedian(table, axis=0), SERIES[0], "their median")


def _line(
    axes: Axes,
    x: Numbers,
    y: Numbers,
    colour: str,
    label: str | None,
    *,
    is_marked: bool = False,
) -> None:
    """Draw a line over the points that are there."""
    is_there = np.isfinite(y)
    if not is_there.any():
        return
    is_marked = is_marked and is_there.sum() <= MAX_MARKED
    marker = "o" if is_marked or is_there.sum() == 1 else ""
    axes.plot(x[is_there], y[is_there], color=colour, label=label, marker=marker, markersize=4)


def _comparison(
    tables: Sequence[tuple[Numbers, Numbers]],
    labels: Sequence[str],
    place: Abscissa,
    ylabel: str,
    *,
    is_marked: bool = False,
) -> Figure:
    figure, axes = panel()
    most = max((float(x.max()) for x, _ in tables if len(x)), default=1.0)
    unit, name = time_unit(most) if place is by_time else (1.0, "")
    for index, ((x, y), label) in enumerate(zip(tables, labels, strict=True)):
        colour = SERIES[index] if index < MAX_COLOURED else MUTED
        _line(axes, x / unit, y, colour, label, is_marked=is_marked)
    _log_where_wide(axes, [y for _, y in tables])
    axes.set_xlabel(f"time ({name})" if place is by_time else "steps of all ranks")
    axes.set_ylabel(ylabel)
    axes.set_xlim(left=0.0)
    if place is by_steps:
        thousands(axes.xaxis)
    legend(figure, axes, 2)
    return figure


def _log_where_wide(axes: Axes, values: Sequence[Numbers]) -> None:
    """Take a logarithmic axis for positive numbers of very different size."""
    finite = np.concatenate([part[np.isfinite(part)] for part in values])
    if len(finite) and finite.min() > 0 and finite.max() > LOG_FROM * finite.min():
        axes.set_yscale("log")
