"""Gradient descent with momentum (heavy ball)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.base import add_weight_decay, zeros


@dataclass(frozen=True)
class Momentum:
    """v <- momentum * v + g; change = -step * v.

    Attributes:
        momentum: share of the velocity kept per step, 0 <= momentum < 1.
        weight_decay: added to the gradient as this times the parameters.

    Source: Polyak 1964, with the step size outside the velocity.
    """

    state_names: ClassVar[tuple[str, ...]] = ("velocity",)

    momentum: float = 0.9
    weight_decay: float = 0.0

    def init(self, num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
        """Return zero velocity; see Optimizer."""
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
        velocity = state["velocity"]
        add_weight_decay(gradient, parameters, self.weight_decay, out)
        xp.multiply(velocity, self.momentum, out=velocity)
        xp.add(velocity, gradient, out=velocity)
        xp.multiply(velocity, -step_size, out=out)
