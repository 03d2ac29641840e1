"""How a stale gradient is corrected, shard by shard, before the optimiser sees it.

A compensation is called inside a shard's write section as

    compensation(gradient, parameters_read, parameters_present, tau)

and changes ``gradient`` in place. The vectors are (m,), the shard's part of each: the clipped
mean gradient, the parameters that it was computed from, and those that it will be added to. tau
is the shard's staleness. None changes nothing, and spares reading the present parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from mpitrain.core.arrays import Array

Compensation = Callable[[Array, Array, Array, int], None]

COMPENSATIONS: dict[str, Compensation | None] = {"none": None}
