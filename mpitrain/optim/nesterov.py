"""Gradient descent with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.base import add_weight_decay, zeros


@dataclass(frozen=True)
class Nesterov:
    """v <- momentum * v + g; change = -step * (g + momentum * v).

    Attributes:
        momentum: share of the velocity kept per step, 0 <= momentum < 1.
        weight_decay: added to the gradient as this times the parameters.

    Source: Nesterov 1983, in the form of Sutskever et al. 2013 with the gradient taken at the
    parameters themselves (Bengio, Boulanger-Lewandowski, Pascanu 2013, section 3.5).
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
        xp.multiply(velocity, self.momentum, out=out)
        xp.add(out, gradient, out=out)
        xp.multiply(out, -step_size, out=out)
