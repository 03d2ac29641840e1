"""How figures look, and the colours that stand in them for those of the page.

Matplotlib writes colours as numbers. Each one here stands for a variable of the page's style sheet,
which has a value for light and one for dark; :func:`mpitrain.analyse.page.svg.inline_svg` puts the
variable in its place.
"""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#000001", "#000002", "#000003"
SERIES = tuple(f"#00010{index}" for index in range(8))
PHASE_COLOURS = {
    "compute": "#000201",
    "read": "#000202",
    "write": "#000203",
    "wait": "#000204",
    "other": "#000205",
}

VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES)},
    **{colour: f"--{name}" for name, colour in PHASE_COLOURS.items()},
}

MAP = "viridis"  # even in lightness, the same to most colour-blind eyes, on white and on black
WIDTH_PX, HEIGHT_PX = 400, 270  # small enough to be read on a phone without scaling down much
PX_PER_INCH = 72

RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": PX_PER_INCH,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 11.5,
    "axes.labelsize": 11.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.borderaxespad": 0.0,
    "legend.columnspacing": 1.2,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.handletextpad": 0.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "mpitrain",  # the same run gives the same page
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def figure_size(height_px: float = HEIGHT_PX) -> tuple[float, float]:
    """Return the size of a figure in inches."""
    return WIDTH_PX / PX_PER_INCH, height_px / PX_PER_INCH
