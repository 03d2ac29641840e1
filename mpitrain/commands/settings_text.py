"""Every setting as text: a run file that changes nothing until a line is uncommented."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mpitrain.config import TABLES
from mpitrain.config.setting import NONE, Fact, describe
from mpitrain.config.text import format_value
from mpitrain.config.usage import condition

_WIDTH = 100


def settings_text() -> str:
    """Return every setting with meaning, choices, unit and default, table by table, as TOML.

    Meanings begin with "# ", settings with "#" alone.
    """
    return "\n\n".join("\n".join(_table_lines(name)) for name in TABLES)


def _table_lines(name: str) -> Iterator[str]:
    table = TABLES[name]
    yield f"[{name}]  # {(table.__doc__ or '').partition('.')[0]}."
    for fact in describe(table):
        yield from _wrapped(f"{fact.rule.help}{condition(fact)}{_values(fact)}")
        yield f"#{fact.key} = {format_value(NONE if fact.default is None else fact.default)}"


def _values(fact: Fact) -> str:
    rule = fact.rule
    choices = (*rule.choices, *(["package.module:factory"] if rule.factory else []))
    said = f"; choose from: {', '.join(choices)}" if choices else ""
    span = "" if choices else _range(fact)
    return f"{said}{span}{f' [{rule.unit}]' if rule.unit else ''}"


def _range(fact: Fact) -> str:
    span = fact.rule.range()
    return f";{span}" if span else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
