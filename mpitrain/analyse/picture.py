"""Pictures that the tools draw with ``--plot FILE``: checked first, drawn alike, written whole."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.analyse.output import check_library, check_output, new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".pdf", ".png", ".svg")
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#6f7680"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#808790")
"""Okabe and Ito's, which colour-blind people can tell apart."""

STYLE: dict[Any, object] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.hashsalt": "mpitrain",
}


def add_plot(parser: argparse.ArgumentParser) -> None:
    """Add ``--plot``."""
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw: .svg, .png or .pdf")


def check_plot(path: Path | None) -> None:
    """See that a picture can be drawn and written there; None is none.

    Raises:
        UserError: another ending, no such folder, or matplotlib is not installed.
    """
    if path is not None:
        check_output("--plot", path, FORMATS)
        check_library("matplotlib", "--plot")


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Give a figure to draw on, in inches, which is written when the block ends well.

    Raises:
        OSError: it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with new_file(path) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=150, metadata=metadata)
