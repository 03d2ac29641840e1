"""Configurations as text: TOML files, ``table.key=value`` overrides, and writing TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mpitrain.config.setting import shown
from mpitrain.core.errors import UserError, reason


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UserError: it cannot be read; names the file and the reason.
    """
    try:
        content = Path(path).read_bytes()
        return tomllib.loads(content.decode())
    except OSError as error:
        msg = f"cannot read run file {path}: {reason(error)}"
        raise UserError(msg) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        msg = f"run file {path} is not valid TOML: it is no UTF-8 text (at line {line})"
        raise UserError(msg) from error
    except (ValueError, RecursionError) as error:  # thousands of digits or levels too
        msg = f"run file {path} is not valid TOML: {error}"
        raise UserError(msg) from error


def split_override(text: str) -> tuple[str, str]:
    """Return name and value text of ``table.key=value``.

    Raises:
        UserError: it has another form.
    """
    name, equals, value = text.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and table and key):
        msg = f"'{text}' must have the form table.key=value, for example mode.bound=3"
        raise UserError(msg)
    return name.strip(), value.strip()


def parse_value(text: str) -> Any:
    """Return a TOML value; text that is none, such as a bare word, is a string."""
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # what is no TOML, and thousands of digits or levels
        return text
    return found["value"] if found.keys() == {"value"} else text


def format_tables(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of plain values as TOML; a key whose value is None is left out.

    Values: strings, numbers, booleans, and tuples or lists of them.
    """
    return "\n".join("".join(_lines(name, values)) for name, values in tables.items())


def _lines(name: str, values: Mapping[str, Any]) -> Iterable[str]:
    yield f"[{name}]\n"
    for key, value in values.items():
        if value is not None:
            yield f"{key} = {format_value(value)}\n"


def format_value(value: Any) -> str:
    """Return a plain value, not None, as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # TOML's basic strings are JSON's, but DEL must be escaped too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(format_value(item) for item in value)}]"
    msg = f"cannot write {shown(value)} as TOML"
    raise TypeError(msg)
