"""What all figures share: their frame, the unit of time, how ranks are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpitrain.analyse.page.style import HEIGHT_PX, MUTED, SERIES, figure_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = npt.NDArray[Any]

MAX_COLOURED = len(SERIES)
MAX_ROWS = 64
LETTERS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
UNITS = ((180.0, 1.0, "s"), (3 * 3600.0, 60.0, "min"), (float("inf"), 3600.0, "h"))


def panel(height_px: float = HEIGHT_PX) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=figure_size(height_px), layout="constrained")
    return figure, figure.add_subplot()


def time_unit(most_s: float) -> tuple[float, str]:
    """Return the seconds of the unit in which so many seconds are told, and its name."""
    return next((seconds, name) for most, seconds, name in UNITS if most_s <= most)


def thousands(axis: Any) -> None:
    """Write large numbers on an axis as 20k, 1.5M."""
    axis.set_major_formatter(lambda value, _: short_number(value))


def short_number(value: float) -> str:
    """Return a number as it stands on an axis: 0.5, 20, 20k, 1.5M."""
    size, letter = next(((s, t) for s, t in LETTERS if abs(value) >= s), (1.0, ""))
    return f"{value / size:.4g}{letter}"


def whole_numbers(axis: Any) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def percent(axis: Any) -> None:
    """Write shares on an axis as percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def legend(figure: Figure, axes: Axes, columns: int = 4) -> None:
    """Name the series above the axes."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper left", ncols=min(columns, len(labels)))


def along_time(axes: Axes, end_s: float, starts_s: Sequence[float]) -> None:
    """Let the axis along the bottom be the time of a run, and mark where later lives began."""
    unit, name = time_unit(end_s)
    axes.set_xlabel(f"time ({name})")
    axes.set_xlim(0.0, 1.01 * max(end_s / unit, float(axes.dataLim.x1)))
    for start_s in starts_s[1:]:
        axes.axvline(start_s / unit, color=MUTED, linewidth=1.2, linestyle=":", zorder=0.5)


def grouped(table: Numbers, how: Any, most: int = MAX_ROWS) -> tuple[Numbers, int]:
    """Return a table with at most so many rows, each made of as many of the old ones.

    Args:
        table: (R, ...).
        how: makes one row of some, as ``np.nanmean`` or ``np.sum``.
        most: rows.

    Returns:
        the table; old rows in each new one.
    """
    width = -(-len(table) // most)
    if width == 1:
        return table, 1
    starts = range(0, len(table), width)
    return np.stack([how(table[start : start + width], axis=0) for start in starts]), width


def group_names(ranks: Sequence[int], width: int) -> list[str]:
    """Return the ranks that each row of a grouped table stands for: "3" or "32-47"."""
    if width == 1:
        return [str(rank) for rank in ranks]
    groups = [ranks[start : start + width] for start in range(0, len(ranks), width)]
    return [f"{group[0]}-{group[-1]}" for group in groups]


def name_rows(axis: Any, names: Sequence[str]) -> None:
    """Write names along an axis of rows 0, 1, ...; of many, or long ones, only some."""
    most = 9 if max(map(len, names)) <= 3 else 4
    step = max(1, -(-len(names) // most))
    axis.set_ticks(range(0, len(names), step), names[::step])
