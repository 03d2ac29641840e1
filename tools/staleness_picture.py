"""How stale was every gradient? Draws the gradients of some runs as dots, one panel for each run.

    python tools/staleness_picture.py RUNDIR... [--out staleness.svg]

A dot is one gradient: how many updates of other ranks it did not know of, mean over the shards.
Dots stand in the order in which their steps began, each rank has its colour, and a dashed line is
the most that the bound allows. Needs matplotlib (the extra "plot") and no MPI. Exit code 0, or 2
when there is nothing to draw.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

try:
    from mpitrain.storage.reading import RunLog, open_log
except ModuleNotFoundError:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mpitrain.storage.reading import RunLog, open_log
from mpitrain.core.errors import LogError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".pdf", ".png", ".svg")
GREY = "#808790"  # can be read on white and on black
COLOURS = ("#4c8fd6", "#3fa37c", "#9a7fd1", "#e2703a", "#c9a227", "#d0679d", "#7f9a3a", "#5fb0b7")
STYLE: dict[Any, object] = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "font.size": 9,
    "legend.labelcolor": GREY,
    "svg.hashsalt": "mpitrain",  # the same runs give the same file
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


@dataclass(frozen=True, kw_only=True)
class Gradients:
    """The gradients of a run's timeline, in the order in which their steps began.

    Attributes:
        title: mode, bound, seconds, mean and largest staleness.
        ranks: (rows,), int64: who computed it.
        staleness: (rows,), float64: updates of others that it did not know of, mean over shards.
        limit: the most that the bound allows; None where there is none.
    """

    title: str
    ranks: npt.NDArray[np.int64]
    staleness: npt.NDArray[np.float64]
    limit: int | None


def gradients_of(log: RunLog) -> Gradients:
    """Read what is drawn of a run.

    Raises:
        LogError: a log on the timeline is missing, or there is no row.
    """
    segments = [segment for stretch in log.chain for segment in stretch.segments()]
    columns = [
        np.stack(
            [
                np.full(segment.num_rows, segment.life),
                segment.log.steps["began_s"][: segment.num_rows],
                np.full(segment.num_rows, segment.log.attributes["rank"]),
                segment.log.steps["staleness_mean"][: segment.num_rows],
                segment.log.steps["staleness_max"][: segment.num_rows],
            ]
        )
        for segment in segments
    ]
    nothing = np.empty((5, 0))
    lives, began_s, ranks, staleness, largest = np.concatenate([nothing, *columns], axis=1)
    if not len(ranks):
        message = f"{log.directory.root} has no step to draw"
        raise LogError(message)
    order = np.lexsort((began_s, lives))
    newest = log.chain[-1].life
    return Gradients(
        title=_title(newest.attributes, log.directory.read_result() or {}, staleness, largest),
        ranks=ranks[order].astype(np.int64),
        staleness=staleness[order],
        limit=_limit(newest.attributes, newest.size),
    )


def _title(
    attributes: Mapping[str, Any],
    result: Mapping[str, Any],
    staleness: npt.NDArray[np.float64],
    largest: npt.NDArray[np.float64],
) -> str:
    bound = f", bound {attributes['bound']}" if attributes["mode"] == "ssp" else ""
    seconds = result.get("seconds")
    time = f": {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return (
        f"{attributes['mode']}{bound}{time}\n"
        f"staleness mean {staleness.mean():.2f}, largest {largest.max():.0f}"
    )


def _limit(attributes: Mapping[str, Any], size: int) -> int | None:
    """Return the most updates of others that a gradient may lack: (2s+1)(P-1) in ssp."""
    if attributes["mode"] == "ssp":
        return (2 * int(attributes["bound"]) + 1) * (size - 1)
    return None


def draw(runs: Sequence[Gradients]) -> Figure:
    """Return the picture, one panel per run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.8 + 2.9 * len(runs), 3.2), layout="constrained")
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for panel, run in zip(panels, runs, strict=True):
        _draw_panel(panel, run)
    highest = max(max(run.staleness.max(), run.limit or 0) for run in runs)
    panels[0].set_ylim(-0.15, 1.8 * max(1, highest))
    panels[0].set_ylabel("updates of others not known of")
    ranks = sorted({int(rank) for run in runs for rank in np.unique(run.ranks)})
    if len(ranks) <= len(COLOURS):
        marks = [panels[0].scatter([], [], s=14, color=COLOURS[rank % 8]) for rank in ranks]
        names = [f"rank {rank}" for rank in ranks]
        figure.legend(marks, names, loc="outside lower center", ncols=len(ranks), frameon=False)
    return figure


def _draw_panel(panel: Axes, run: Gradients) -> None:
    colours = [COLOURS[rank % len(COLOURS)] for rank in run.ranks]
    # dots as one image: thousands of them would make a large file
    panel.scatter(
        np.arange(len(run.ranks)), run.staleness, s=8, c=colours, linewidths=0, rasterized=True
    )
    panel.set_yscale("symlog", linthresh=1)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_title(run.title, fontsize=9)
    panel.set_xlabel("gradients, in order")
    panel.set_facecolor("none")
    panel.spines[["top", "right"]].set_visible(False)
    if run.limit is not None:
        panel.axhline(run.limit, color=GREY, linewidth=0.8, linestyle="--")
        panel.annotate(
            f"(2s+1)(P-1) = {run.limit}", (0, run.limit), (0, 3), textcoords="offset points"
        )


def main(arguments: list[str] | None = None) -> int:
    """Draw the runs that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rundirs", type=Path, metavar="RUNDIR", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("staleness.svg"), help="svg, png or pdf")
    options = parser.parse_args(arguments)
    if options.out.suffix not in FORMATS:
        return _say(f"--out must end in one of {', '.join(FORMATS)}, got {options.out}")
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return _say("matplotlib is not installed; pip install matplotlib")
    try:
        runs = [gradients_of(open_log(directory)) for directory in options.rundirs]
        with mpl.rc_context(STYLE):
            metadata = {"Date": None} if options.out.suffix == ".svg" else None
            draw(runs).savefig(options.out, transparent=True, dpi=150, metadata=metadata)
    except (LogError, OSError) as error:
        return _say(str(error))
    print(options.out)
    return 0


def _say(message: str) -> int:
    print(f"staleness_picture: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
