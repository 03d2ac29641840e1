"""The picture of ``stragglers``: how long steps took, who waited when, and who for whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpitrain.analyse.picture import ORANGE, picture
from mpitrain.analyse.words import mode_of
from mpitrain.analysis.delays import Delays
from mpitrain.analysis.phases import Seconds
from mpitrain.core.console import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP = "cividis"
MAX_NAMED = 16  # ranks that each have a number at the axis
MAX_WRITTEN = 8  # ranks of a matrix with its numbers in it
LEAST_S = 0.005  # what is less rounds to 0
MOST = 0.98  # quantile at which the colours end: one long step does not darken all others


def save_plot(delays: Delays, name: str, path: Path) -> None:
    """Draw what ``stragglers`` found into a file, which ``check_plot`` found good.

    Args:
        delays: what it found.
        name: of the run.
        path: of the file.

    Raises:
        OSError: it cannot be written.
    """
    has_waits = bool(delays.waited_s[:, :-1].any())
    with picture(path, *((10, 5) if has_waits else (6, 3))) as figure:
        mode = mode_of({"mode": delays.mode, "bound": delays.bound})
        figure.suptitle(f"{name}: {mode}, {counted(delays.size, 'rank')}", x=0.01, ha="left")
        panels = figure.subplot_mosaic("SM;WM" if has_waits else "S")
        _draw_steps(figure, panels["S"], delays)
        if has_waits:
            _draw_waiting(figure, panels["W"], delays)
            _draw_matrix(figure, panels["M"], delays)


def _draw_steps(figure: Figure, panel: Axes, delays: Delays) -> None:
    num_rows, own_s = delays.windows.num_rows, delays.windows.own_s.sum(axis=1)
    step_s = np.divide(own_s, num_rows, out=np.full(own_s.shape, np.nan), where=num_rows > 0)
    panel.set_title("A step without its waiting")
    _draw_map(figure, panel, delays, 1e3 * step_s, "ms, mean")


def _draw_waiting(figure: Figure, panel: Axes, delays: Delays) -> None:
    length_s = np.diff(delays.windows.edges_s)
    panel.set_title("Waiting")
    _draw_map(figure, panel, delays, delays.windows.wait_s / length_s * 100, "% of its time")


def _draw_map(
    figure: Figure, panel: Axes, delays: Delays, table: npt.NDArray[Any], unit: str
) -> None:
    """Draw a number of each rank over time, (P, W); empty where it is none."""
    there = table[np.isfinite(table)]
    most = float(np.quantile(there, MOST)) if there.size else 1.0
    extent = (0.0, float(delays.windows.edges_s[-1]), delays.size - 0.5, -0.5)
    image = panel.imshow(
        np.ma.masked_invalid(table), MAP, vmin=0.0, vmax=most or 1.0, interpolation="none",
        aspect="auto", extent=extent,
    )  # fmt: skip
    figure.colorbar(image, ax=panel, label=unit, extend="max" if most < there.max() else "neither")
    panel.set_xlabel("time (s)")
    panel.set_ylabel("rank")
    _name_ranks(panel, delays)


def _draw_matrix(figure: Figure, panel: Axes, delays: Delays) -> None:
    waited_s: Seconds = delays.waited_s[:, :-1]
    image = panel.imshow(waited_s, MAP, vmin=0.0, interpolation="none")
    figure.colorbar(image, ax=panel, label="waited (s)", shrink=0.7)
    panel.set_title("Who waited for whom")
    panel.set_xlabel("rank that was waited for")
    panel.set_ylabel("rank that waited")
    _name_ranks(panel, delays)
    panel.set_xticks(panel.get_yticks(), [label.get_text() for label in panel.get_yticklabels()])
    if delays.size <= MAX_WRITTEN:
        _write_numbers(panel, waited_s)


def _write_numbers(panel: Axes, waited_s: Seconds) -> None:
    for (rank, whom), value in np.ndenumerate(waited_s):
        text = f"{value:.2f}" if value >= LEAST_S else "-"
        colour = "black" if value > 0.6 * waited_s.max() else "white"
        panel.text(whom, rank, text, ha="center", va="center", color=colour, fontsize=8)


def _name_ranks(panel: Axes, delays: Delays) -> None:
    """Put numbers at the ranks, those of stragglers in colour."""
    slow = {one.rank for one in delays.stragglers}
    every = -(-delays.size // MAX_NAMED)
    named = sorted({*range(0, delays.size, every), *slow})
    panel.set_yticks(named, [str(rank) for rank in named])
    for rank, label in zip(named, panel.get_yticklabels(), strict=True):
        if rank in slow:
            label.set(color=ORANGE, fontweight="bold")
