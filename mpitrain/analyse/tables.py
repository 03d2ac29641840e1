"""Tables as all tools draw them: a thin line under the head, numbers to the right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> Table:
    """Return a table.

    Args:
        columns: heads.
        rows: cells.
        texts: how many columns from the left hold words and stand to the left.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [list(row) for row in rows]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1))
    for index, column in enumerate(columns):
        if index < texts:  # words are wrapped where there is too little room, numbers never cut
            made.add_column(Text(column), overflow="fold")
        else:
            width = max(map(len, [column, *(row[index] for row in cells)]))
            made.add_column(Text(column), justify="right", no_wrap=True, min_width=width)
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    return made


def new_table(title: str) -> Table:
    """Return an empty table under a title, for columns that are made by hand."""
    from rich.table import Table

    return Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")


def pairs(facts: Mapping[str, str]) -> Table:
    """Return facts by name, one a line."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        made.add_row(Text(name, style="dim"), Text(fact))
    return made


def say_missing(console: Console, facts: Mapping[str, Any]) -> None:
    """Say which pieces of a run are missing, if any are."""
    from rich.text import Text

    for what in facts["missing"]:
        console.print(Text(f"incomplete: {what}", style="yellow"))
