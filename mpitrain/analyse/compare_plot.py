"""Curves of several runs: loss and metric against time, samples and steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpitrain.analyse.picture import COLOURS, GREY, picture
from mpitrain.analysis.comparison import Group, Target, value_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT = 70  # letters, of which two fit beside each other
NUM_PLACES = 100  # of a mean
AXES = {"time_s": "training time, s", "samples": "samples", "steps": "steps of all ranks"}


def draw(groups: Sequence[Group], target: Target | None, path: Path) -> None:
    """Draw the curves into a file, which ``check_plot`` found good.

    Raises:
        OSError: it cannot be written.
    """
    with picture(path, 9.6, 5.4) as figure:
        _draw(figure, groups, target)


def _draw(figure: Figure, groups: Sequence[Group], target: Target | None) -> None:
    panels = figure.subplots(2, len(AXES), sharex="col", sharey="row")
    for row, on in enumerate(("loss", "metric")):
        for panel, name in zip(panels[row], AXES, strict=True):
            _draw_panel(panel, groups, name, on, target)
        panels[row][0].set_ylabel(on if on == "loss" else _metric_name(groups))
    for panel, label in zip(panels[1], AXES.values(), strict=True):
        panel.set_xlabel(label)
    handles, labels = panels[0][0].get_legend_handles_labels()
    num = 1 if max(map(len, labels), default=0) > SHORT else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=num, frameon=False, fontsize=8)


def _metric_name(groups: Sequence[Group]) -> str:
    return groups[0].courses[0].metric_name or "metric"


def _draw_panel(
    panel: Axes, groups: Sequence[Group], name: str, on: str, target: Target | None
) -> None:
    for group, colour in zip(groups, itertools.cycle(COLOURS)):  # colours repeat
        if len(group.courses) == 1:
            _draw_run(panel, group, name, on, colour)
        else:
            _draw_mean(panel, group, name, on, colour)
    if target is not None and target.on == on:
        panel.axhline(target.value, color=GREY, linewidth=0.8, linestyle="--")
    panel.tick_params(labelsize=8)


def _draw_run(panel: Axes, group: Group, name: str, on: str, colour: str) -> None:
    pairs = [(getattr(p, name), value_of(p, on)) for p in group.courses[0].points]
    pairs = [(place, value) for place, value in pairs if value is not None]
    if pairs:
        places, values = zip(*pairs, strict=True)
        panel.plot(
            places, values, color=colour, linewidth=1.4, marker=".", markersize=4, label=group.label
        )


def _draw_mean(panel: Axes, group: Group, name: str, on: str, colour: str) -> None:
    """Draw the mean of some runs, with a band of one standard deviation around it."""
    places = group.places(name, NUM_PLACES)
    spreads = [group.at(place, lambda point: value_of(point, on), name) for place in places]
    if not any(spread.num for spread in spreads):
        return
    means = np.array([spread.mean for spread in spreads])
    deviations = np.array([spread.deviation or 0.0 for spread in spreads])
    label = f"{group.label}: mean ± standard deviation of {len(group.courses)} runs"
    panel.plot(places, means, color=colour, linewidth=1.4, label=label)
    panel.fill_between(
        places, means - deviations, means + deviations, color=colour, alpha=0.18, linewidth=0
    )
