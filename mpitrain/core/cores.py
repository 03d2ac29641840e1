"""Sets of processor cores as text, as Linux writes them: 0-3,8."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

MOST = 1 << 16  # numbers of cores that are believed
_SPAN = r"\d{1,6}(-\d{1,6})?"


def own_cores() -> str:
    """Return the cores that this process may run on; empty where the system does not say."""
    return cores_text(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ""


def cores_text(cores: Iterable[int]) -> str:
    """Return the numbers in order, neighbours drawn together."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def cores_of(text: object) -> frozenset[int]:
    """Return the numbers; none where the text is no such list."""
    if not isinstance(text, str) or not re.fullmatch(rf"{_SPAN}(,{_SPAN})*", text):
        return frozenset()
    found: set[int] = set()
    for span in text.split(","):
        first, _, last = span.partition("-")
        found.update(range(int(first), min(int(last or first), MOST) + 1))
    return frozenset(found)
