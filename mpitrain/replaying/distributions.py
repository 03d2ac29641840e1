"""The distributions of staleness and lead as a picture; needs matplotlib, the extra "plot"."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from mpitrain.core.errors import UserError, reason
from mpitrain.schedules.measures import staleness_of
from mpitrain.schedules.schedule import Schedule

FORMATS = (".pdf", ".png", ".svg")
MOST_BARS = 60


def check_plot(path: str) -> None:
    """Check that a picture can be drawn into ``path``, before anything long begins.

    Raises:
        UserError: it cannot.
    """
    if Path(path).suffix not in FORMATS:
        message = f"--plot {path}: must end in one of {', '.join(FORMATS)}"
        raise UserError(message)
    if not Path(path).absolute().parent.is_dir():
        message = f"--plot {path}: there is no folder {Path(path).absolute().parent}"
        raise UserError(message)
    if importlib.util.find_spec("matplotlib") is None:
        message = "--plot needs matplotlib; install the extra: pip install 'mpitrain[plot]'"
        raise UserError(message)


def draw(schedule: Schedule, path: str, title: str) -> None:
    """Draw two histograms side by side: staleness per shard and update, lead per step.

    Args:
        schedule: of at least one step.
        path: file to write, of a kind that ``check_plot`` accepts.
        title: above both.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    figure.suptitle(title, fontsize=9)
    left, right = figure.subplots(1, 2)
    for panel, values, name in (
        (left, staleness_of(schedule)[0].ravel(), "staleness: updates of other ranks"),
        (right, schedule.lead, "lead: clocks ahead of the slowest rank"),
    ):
        most = int(values.max(initial=0))
        width = max(1, -(-(most + 1) // MOST_BARS))
        edges = np.arange(0, most + width + 1, width) - 0.5
        panel.hist(values, bins=edges, density=True, color="#4c8fd6")
        panel.set_xlabel(name, fontsize=9)
        panel.set_ylabel("share" if width == 1 else "density", fontsize=9)
    try:
        figure.savefig(path)
    except OSError as error:
        message = f"--plot {path}: cannot be written: {reason(error)}"
        raise UserError(message) from error
