"""The stated order in which contributions of ranks are added.

A balanced binary tree over rank numbers: neighbours first, then pairs of neighbours, and so on.
Floating-point addition is not associative, so the order is part of the result; everything that
adds over ranks (the reduction, replay, any faster path) adds in this one.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpitrain.core.arrays import Array, module_of


def tree_pairs(num_parts: int) -> list[tuple[int, int]]:
    """Return the additions (into, source) in order; the sum ends in part 0.

    Args:
        num_parts: how many contributions there are, >= 1.
    """
    pairs = []
    stride = 1
    while stride < num_parts:
        pairs += [(into, into + stride) for into in range(0, num_parts - stride, 2 * stride)]
        stride *= 2
    return pairs


def tree_sum_into(parts: Sequence[Array]) -> None:
    """Add all parts in the tree's order; the result is in ``parts[0]``.

    Args:
        parts: (n,) each, of one dtype, host or device; changed, all but the first are left with
            partial sums.
    """
    xp = module_of(parts[0])
    for into, source in tree_pairs(len(parts)):
        xp.add(parts[into], parts[source], out=parts[into])
