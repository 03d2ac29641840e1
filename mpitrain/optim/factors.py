"""How an update shrinks with its staleness: factor(tau), multiplied into every shard's change."""

from __future__ import annotations

from collections.abc import Callable


def none(tau: int) -> float:
    """Return 1: stale updates count in full.

    Args:
        tau: staleness of the shard's update, in updates of other ranks, >= 0.
    """
    return 1.0


FACTORS: dict[str, Callable[[int], float]] = {"none": none}
