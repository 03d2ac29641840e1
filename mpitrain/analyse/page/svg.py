"""A figure of matplotlib as SVG inside a page: text as text, colours by the page's variables."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from mpitrain.analyse.page.style import VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOUR = re.compile("|".join(VARIABLES))
_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    r'| xmlns:xlink="[^"]*"| version="1.1"',
    re.DOTALL,
)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"')
_FONT = re.compile(r"font: ([\d.]+px) [^;\"]*")
_ID = re.compile(r'(\bid="|url\(#|href="#)')


def inline_svg(figure: Figure, name: str) -> str:
    """Return a figure as an ``<svg>`` that takes the width of what it stands in.

    Args:
        figure: to draw.
        name: before all its ids, which would otherwise be those of other figures of the page.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = _DROPPED.sub("", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = _SIZE.sub(r"\1", text, count=1)
    text = _FONT.sub(r"font-size: \1", text)
    text = _ID.sub(rf"\1{name}-", text)
    text = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", text)
    return re.sub(r"\n\s*", "\n", text).strip()
