"""The page itself: a template filled with what is said of the runs; no script, no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import mpitrain
from mpitrain.analyse.page.content import Comparison, Section

FOLDER = Path(__file__).parent


def page_of(title: str, sections: Sequence[Section], comparison: Comparison | None) -> str:
    """Return the HTML of a page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=title,
        version=mpitrain.__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        comparison=comparison,
        sections=sections,
    )
