"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.base import add_weight_decay, zeros


@dataclass(frozen=True)
class Sgd:
    """change = -step * g.

    Attributes:
        weight_decay: added to the gradient as this times the parameters.

    Source: Robbins and Monro 1951.
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    weight_decay: float = 0.0

    def init(self, num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
        """Return an empty state; see Optimizer."""
        return zeros(self.state_names, num, dtype, xp)

    def update_into(
        self,
        state: Mapping[str, Array],
        gradient: Array,
        parameters: Array,
        step_size: float,
        clock: int,
        out: Array,
    ) -> None:
        """Write the change; see Optimizer."""
        xp = module_of(gradient)
        add_weight_decay(gradient, parameters, self.weight_decay, out)
        xp.multiply(gradient, -step_size, out=out)
