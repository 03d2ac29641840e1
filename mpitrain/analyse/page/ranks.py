"""Figures that set the ranks beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.analyse.page.axes import (
    MAX_COLOURED,
    Numbers,
    along_time,
    group_names,
    grouped,
    legend,
    name_rows,
    panel,
    percent,
    thousands,
    time_unit,
    whole_numbers,
)
from mpitrain.analyse.page.curves import life_starts, mean_of
from mpitrain.analyse.page.style import HEIGHT_PX, MAP, MUTED, PHASE_COLOURS, SERIES
from mpitrain.analyse.words import number
from mpitrain.analysis.binned import quantile_of
from mpitrain.analysis.outline import Outline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 40
MOST_PX = 360  # height of a figure, however many ranks it has
MAX_WRITTEN = 8  # ranks of a matrix with its numbers in it
TAIL = 0.995  # a histogram is drawn up to this quantile
SHARES = {
    "compute": "computing",
    "read": "reading",
    "write": "writing",
    "wait": "waiting",
    "other": "other",
}


def staleness_histogram(run: Outline) -> Figure:
    """Draw the share of updates by staleness, coloured by rank where there are few."""
    figure, axes = panel()
    is_coloured = len(run.binned.counts) <= MAX_COLOURED
    counts = run.binned.histogram() if is_coloured else run.binned.staleness_counts()[np.newaxis]
    starts, bars = binned(counts)
    width = starts[1] - starts[0] if len(starts) > 1 else 1
    shares = bars / max(1, bars.sum())
    bottom = np.zeros(len(starts))
    for index, row in enumerate(shares):
        label = f"rank {run.binned.ranks[index]}" if len(shares) > 1 else None
        middle = starts + (width - 1) / 2
        axes.bar(middle, row, 0.86 * width, bottom=bottom, color=SERIES[index], label=label)
        bottom += row
    axes.set_xlabel("staleness: updates of others not known of")
    axes.set_ylabel("share of updates")
    whole_numbers(axes.xaxis)
    percent(axes.yaxis)
    thousands(axes.xaxis)
    legend(figure, axes, 4)
    return figure


def binned(table: Numbers) -> tuple[Numbers, Numbers]:
    """Return the first staleness of each bar, and the updates of each rank in it.

    Bars have equal widths in staleness; they end where all but a thin tail is drawn.
    """
    stop = quantile_of(table.sum(axis=0), TAIL) + 1
    width = -(-stop // MAX_BARS)
    num = -(-stop // width)
    padded = np.zeros((len(table), num * width), np.int64)
    kept = table[:, : num * width]
    padded[:, : kept.shape[1]] = kept
    return np.arange(num) * width, padded.reshape(len(table), num, width).sum(axis=2)


def staleness_map(run: Outline) -> Figure:
    """Draw the mean staleness of the updates of every rank over time."""
    return _map(run, mean_of(run, "staleness"), "mean staleness")


def wait_map(run: Outline) -> Figure:
    """Draw which share of its time every rank waited, over time."""
    share = run.binned.sums["wait_s"] / np.diff(run.binned.edges_s)
    return _map(run, np.clip(share, 0.0, 1.0), "share of time waiting", is_share=True)


def share_bars(run: Outline) -> Figure:
    """Draw what every rank spent its time on."""
    ranks = run.overview["per_rank"]
    table = np.array([[rank["shares"][name] for name in SHARES] for rank in ranks])
    table, width = grouped(table, np.mean)
    names = group_names([rank["rank"] for rank in ranks], width)
    figure, axes = panel(_height_px(len(names)))
    left = np.zeros(len(table))
    for (name, label), part in zip(SHARES.items(), table.T, strict=True):
        colour = PHASE_COLOURS[name]
        axes.barh(range(len(table)), part, 0.72, left=left, color=colour, label=label)
        left += part
    _rank_axis(axes, names)
    axes.grid(visible=False)
    axes.set_xlim(0.0, max(1.0, float(left.max())))
    axes.set_xlabel("share of its time")
    percent(axes.xaxis)
    legend(figure, axes, 3)
    return figure


def wait_matrix(run: Outline) -> Figure:
    """Draw how long every rank waited for every other."""
    waited = run.binned.waited_s[:, :-1]
    table, width = grouped(waited, np.sum)
    columns, across = grouped(table.T, np.sum)
    table = columns.T
    unit, name = time_unit(float(table.max(initial=0.0)))
    figure, axes = panel(_height_px(len(table)))
    image = axes.imshow(
        table / unit, MAP, vmin=0.0, interpolation="none", aspect="auto", origin="upper"
    )
    _colour_bar(figure, axes, image, f"waited ({name})")
    if max(table.shape) <= MAX_WRITTEN:
        _write_numbers(axes, table / unit)
    name_rows(axes.xaxis, group_names(range(waited.shape[1]), across))
    _rank_axis(axes, group_names(run.binned.ranks, width))
    axes.set_ylabel("rank that waited")
    axes.set_xlabel("rank that was waited for")
    _bare(axes)
    return figure


def staleness_comparison(runs: Sequence[Outline], labels: Sequence[str]) -> Figure:
    """Draw for each run which share of the updates has at least which staleness."""
    figure, axes = panel()
    for index, (run, label) in enumerate(zip(runs, labels, strict=True)):
        counts = run.binned.staleness_counts()
        share = counts[::-1].cumsum()[::-1] / counts.sum()
        colour = SERIES[index] if index < MAX_COLOURED else MUTED
        places = np.unique(np.geomspace(1, len(share), 120).astype(int)) - 1
        axes.step(places, share[places], where="pre", color=colour, label=label)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("staleness: updates of others not known of")
    axes.set_ylabel("updates at least so stale")
    axes.xaxis.set_major_formatter("{x:g}")
    percent(axes.yaxis)
    legend(figure, axes, 2)
    return figure


def share_comparison(runs: Sequence[Outline], labels: Sequence[str]) -> Figure:
    """Draw what the ranks of each run spent their time on, on average."""
    figure, axes = panel(_height_px(len(runs)))
    left = np.zeros(len(runs))
    for name, label in SHARES.items():
        part = np.array([run.overview["shares"][name] for run in runs])
        axes.barh(range(len(runs)), part, 0.72, left=left, color=PHASE_COLOURS[name], label=label)
        left += part
    axes.set_yticks(range(len(runs)), labels)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel("share of the ranks' time")
    percent(axes.xaxis)
    legend(figure, axes, 3)
    return figure


def _map(run: Outline, table: Numbers, what: str, *, is_share: bool = False) -> Figure:
    table, width = grouped(table, _mean_there)
    names = group_names(run.binned.ranks, width)
    unit, _ = time_unit(run.binned.edges_s[-1])
    figure, axes = panel(_height_px(len(table)))
    extent = (0.0, run.binned.edges_s[-1] / unit, len(table) - 0.5, -0.5)
    image = axes.imshow(
        np.ma.masked_invalid(table),
        MAP,
        vmin=0.0,
        vmax=1.0 if is_share else max(1e-9, float(np.nan_to_num(table).max())),
        aspect="auto",
        interpolation="none",
        extent=extent,
    )
    bar = _colour_bar(figure, axes, image, what)
    if is_share:
        percent(bar.ax.yaxis)
    _rank_axis(axes, names)
    along_time(axes, run.binned.edges_s[-1], life_starts(run))
    axes.set_xlim(*extent[:2])  # no margin
    _bare(axes)
    return figure


def _mean_there(table: Numbers, axis: int) -> Numbers:
    """Return the mean of what is there, NaN where nothing is."""
    counts = np.isfinite(table).sum(axis=axis)
    sums = np.nansum(table, axis=axis)
    mean: Numbers = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return mean


def _colour_bar(figure: Figure, axes: Axes, image: Any, what: str) -> Any:
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=18)
    bar.set_label(what)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)  # one image, not 256 paths
    return bar


def _rank_axis(axes: Axes, names: Sequence[str]) -> None:
    name_rows(axes.yaxis, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_ylabel("rank")


def _bare(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _write_numbers(axes: Axes, table: Numbers) -> None:
    most = max(float(table.max()), 1e-12)
    for (row, column), value in np.ndenumerate(table):
        if value >= 0.005 * most:
            colour = "black" if value > 0.6 * most else "white"
            axes.text(column, row, number(float(value)), ha="center", va="center", color=colour)


def _height_px(num_rows: int) -> float:
    return float(np.clip(120 + 11 * num_rows, HEIGHT_PX, MOST_PX))
