"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.base import add_weight_decay, zeros


@dataclass(frozen=True)
class Adam:
    """change = -step * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon), t = clock + 1.

    m <- beta1 m + (1 - beta1) g and s <- beta2 s + (1 - beta2) g^2, both from 0.

    Attributes:
        beta1: decay of the mean gradient, 0 <= beta1 < 1.
        beta2: decay of the mean squared gradient, 0 <= beta2 < 1.
        epsilon: added to the corrected root, as in the paper's algorithm, > 0.
        weight_decay: added to the gradient as this times the parameters.

    Source: Kingma and Ba 2015, algorithm 1; the textbook form, in which epsilon is not scaled by
    the bias correction (their section 2 has a shortcut that scales it).
    """

    state_names: ClassVar[tuple[str, ...]] = ("mean", "square")

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def init(self, num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
        """Return zero moments; see Optimizer."""
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
        mean, square = state["mean"], state["square"]
        add_weight_decay(gradient, parameters, self.weight_decay, out)
        xp.multiply(gradient, 1 - self.beta1, out=out)
        xp.multiply(mean, self.beta1, out=mean)
        xp.add(mean, out, out=mean)
        xp.multiply(gradient, gradient, out=out)
        xp.multiply(out, 1 - self.beta2, out=out)
        xp.multiply(square, self.beta2, out=square)
        xp.add(square, out, out=square)
        # both corrections are scalars: one goes into the root, the other into the step size
        xp.sqrt(square, out=out)
        xp.multiply(out, (1 - self.beta2 ** (clock + 1)) ** -0.5, out=out)
        xp.add(out, self.epsilon, out=out)
        xp.divide(mean, out, out=out)
        xp.multiply(out, -step_size / (1 - self.beta1 ** (clock + 1)), out=out)
