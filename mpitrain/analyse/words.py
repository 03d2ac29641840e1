"""How the tools write numbers, names and shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NONE = "-"


def number(value: Any, digits: int = 3) -> str:
    """Return a number with so many digits that count, whole ones with commas; "-" for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    if isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, digits + 1)}f}"


def percent(share: float | None) -> str:
    """Return a share as a percentage without decimals, with one below 10."""
    if share is None:
        return NONE
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def duration(seconds: float | None) -> str:
    """Return a time as people say it: 7.01 s, 12 min 5 s, 3 h 20 min."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 100:
        return f"{number(float(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def brief(seconds: float) -> str:
    """Return a time that may be short, with two digits that count: 0.15 ms, 60 ms, 7.01 s."""
    if not 0 < abs(seconds) < 1:  # also what is not finite
        return "0 s" if seconds == 0 else duration(seconds)
    if abs(seconds) < 1e-4:
        return f"{seconds * 1e6:.2g} us"
    return f"{seconds * 1e3:.2g} ms" if abs(seconds) < 0.0995 else f"{seconds * 1e3:.0f} ms"


def mode_of(facts: Mapping[str, Any]) -> str:
    """Return the mode and its bound."""
    mode = str(facts["mode"] or "?")
    return mode if facts["bound"] is None else f"{mode}, bound {facts['bound']}"


def ranks_text(ranks: list[int]) -> str:
    """Return ranks with ranges drawn together: 0-3, 8."""
    parts: list[list[int]] = []
    for rank in sorted(ranks):
        if parts and rank == parts[-1][1] + 1:
            parts[-1][1] = rank
        else:
            parts.append([rank, rank])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
