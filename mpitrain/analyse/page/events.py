"""Events of a run as rows of a table, their details in words and figures for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpitrain.analyse.words import NONE, brief, number
from mpitrain.core.console import size_text

MAX_EVENTS = 100  # of the first, and of the last
FREQUENT = ("evaluation", "digest")  # stand in figures, or are the same on every rank
MAX_LISTED = 8  # values of a list
LONG = 16  # letters of a checksum that are told


@dataclass(frozen=True)
class Table:
    """Rows of texts under heads; the first column names the row."""

    heads: list[str]
    rows: list[list[str]]


def table_of_events(events: Sequence[dict[str, Any]]) -> Table:
    """Return the rare ones, one a row."""
    rows = [
        [f"{max(0.0, one['time_s']):.2f}", *(str(one[name]) for name in ("life", "rank", "kind")),
         detail_text(one["detail"])]
        for one in rare(events)
    ]  # fmt: skip
    return Table(["time (s)", "life", "rank", "event", "detail"], rows)


def rare(events: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the events that are told one by one: the first and the last hundred of the rare."""
    found = [event for event in events if event["kind"] not in FREQUENT]
    return found if len(found) <= 2 * MAX_EVENTS else found[:MAX_EVENTS] + found[-MAX_EVENTS:]


def detail_text(detail: Mapping[str, Any]) -> str:
    """Return what an event says: {"steps": 1350, "write_s": 0.0596} -> steps 1,350, write 60 ms."""
    in_seconds = detail.get("unit") == "seconds"  # of the numbers without a unit in their name
    parts = []
    for name, value in detail.items():
        if name == "unit" and in_seconds:
            continue
        is_time = name.endswith("_s") or (in_seconds and isinstance(value, float))
        plain = name.removesuffix("_s").removesuffix("_bytes").replace("_", " ")
        parts.append(f"{plain} {_value_text(name, value, is_time=is_time)}")
    return ", ".join(parts)


def _value_text(name: str, value: Any, *, is_time: bool = False) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return NONE
    if isinstance(value, Mapping):
        return f"({detail_text(value)})"
    if isinstance(value, list):
        texts = [_value_text(name, one, is_time=is_time) for one in value[:MAX_LISTED]]
        return ", ".join(texts) + (" ..." if len(value) > MAX_LISTED else "")
    if isinstance(value, int | float):
        return _number_text(name, value, is_time=is_time)
    text = str(value)
    return f"{text[:LONG]}…" if name.endswith("sha256") and len(text) > LONG else text


def _number_text(name: str, value: float, *, is_time: bool) -> str:
    if is_time:
        return brief(value)
    if name.endswith("_bytes"):
        return size_text(int(value))
    return number(value, 4) if isinstance(value, float) else number(value)
