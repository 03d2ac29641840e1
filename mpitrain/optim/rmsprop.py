"""RMSProp: steps scaled by a running mean of squared gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.base import add_weight_decay, zeros


@dataclass(frozen=True)
class RmsProp:
    """s <- decay s + (1 - decay) g^2; change = -step * g / (sqrt(s) + epsilon).

    Attributes:
        decay: of the mean squared gradient, 0 <= decay < 1.
        epsilon: added to the root, > 0.
        weight_decay: added to the gradient as this times the parameters.

    Source: Tieleman and Hinton 2012, lecture 6.5, with epsilon outside the root.
    """

    state_names: ClassVar[tuple[str, ...]] = ("square",)

    decay: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def init(self, num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
        """Return a zero mean; see Optimizer."""
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
        square = state["square"]
        add_weight_decay(gradient, parameters, self.weight_decay, out)
        xp.multiply(gradient, gradient, out=out)
        xp.multiply(out, 1 - self.decay, out=out)
        xp.multiply(square, self.decay, out=square)
        xp.add(square, out, out=square)
        xp.sqrt(square, out=out)
        xp.add(out, self.epsilon, out=out)
        xp.divide(gradient, out, out=out)
        xp.multiply(out, -step_size, out=out)
