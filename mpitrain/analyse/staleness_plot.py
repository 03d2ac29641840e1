"""The picture of ``staleness``: distribution, ranks, and both over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.analyse.picture import BLUE, GREY, ORANGE, picture
from mpitrain.analyse.words import mode_of
from mpitrain.core.console import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Facts = Mapping[str, Any]

SHADES = {"mean": (BLUE, 1.8), "p90": ("#56a5d0", 1.2), "p99": ("#9cc9e2", 1.2), "max": (GREY, 0.8)}
NAMES = {"mean": "mean", "p90": "90 %", "p99": "99 %", "max": "largest"}
MAX_BARS = 120
UNITS = {"staleness": "updates of other ranks", "lead": "steps ahead of the slowest"}


def save_plot(facts: Facts, path: Path) -> None:
    """Draw what ``staleness`` found into a file, which ``check_plot`` found good.

    Raises:
        OSError: it cannot be written.
    """
    with picture(path, 9, 6) as figure:
        panels = figure.subplots(2, 2)
        figure.suptitle(
            f"{facts['run']}: {mode_of(facts)}, {counted(facts['ranks'], 'rank')}",
            x=0.01,
            ha="left",
        )
        _draw_counts(panels[0, 0], facts)
        _draw_ranks(panels[0, 1], facts)
        _draw_time(panels[1, 0], facts, "staleness", facts["staleness_limit"])
        _draw_time(panels[1, 1], facts, "lead", facts["bound"])


def _draw_counts(panel: Axes, facts: Facts) -> None:
    values, counts = np.array(facts["measures"]["staleness"]["counts"] or [[0, 0]]).T
    width = -(-(int(values.max()) + 1) // MAX_BARS)  # numbers that share a bar
    bars = np.bincount(values // width, counts) / max(1, counts.sum())
    panel.bar((np.arange(len(bars)) + 0.5) * width - 0.5, bars, width, color=BLUE, linewidth=0)
    panel.set_title("How stale the gradients were")
    unit = "update and shard" if facts["per_shard"] else "update"
    panel.set_xlabel(f"staleness (updates of other ranks), per {unit}")
    panel.set_ylabel("share of all")
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _draw_ranks(panel: Axes, facts: Facts) -> None:
    from matplotlib.ticker import MaxNLocator

    ranks = [rank for rank in facts["per_rank"] if rank["staleness"]["count"]]
    numbers = [rank["rank"] for rank in ranks]
    low, high = ([rank["staleness"][name] for rank in ranks] for name in ("p50", "p99"))
    panel.vlines(numbers, low, high, color="#9cc9e2", linewidth=4, label="median to 99 %")
    means = [rank["staleness"]["mean"] for rank in ranks]
    panel.scatter(numbers, means, color=BLUE, s=18, zorder=3, label="mean")
    leads = [rank["lead"]["mean"] for rank in ranks]
    panel.scatter(numbers, leads, color=ORANGE, s=18, marker="D", zorder=3, label="mean lead")
    panel.set_title("By rank")
    panel.set_xlabel("rank")
    panel.set_ylabel("staleness (updates), lead (steps)")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(panel, max([1, *high, *leads]), 3)


def _draw_time(panel: Axes, facts: Facts, name: str, limit: int | None) -> None:
    parts = [part for part in facts["over_time"] if part[name]["count"]]
    middles = [(part["start_s"] + part["stop_s"]) / 2 for part in parts]
    for key, (colour, width) in SHADES.items():
        panel.plot(middles, [part[name][key] for part in parts], color=colour, linewidth=width,
                   drawstyle="steps-mid", label=NAMES[key])  # fmt: skip
    if limit is not None:
        panel.axhline(limit, color=ORANGE, linewidth=1, linestyle="--", label=f"allowed: {limit}")
    panel.set_title(f"{name.capitalize()} over time")
    panel.set_xlabel("time (s)")
    panel.set_ylabel(
        "updates of other ranks" if name == "staleness" else "steps ahead of the slowest"
    )
    _finish(panel, max([1, limit or 0, *(part[name]["max"] for part in parts)]), 3)


def _finish(panel: Axes, highest: float, columns: int) -> None:
    """Leave room for the legend above all that is drawn."""
    from matplotlib.ticker import MaxNLocator

    panel.set_ylim(0, 1.35 * highest)
    panel.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.legend(frameon=False, ncols=columns, loc="upper left", fontsize=8)
