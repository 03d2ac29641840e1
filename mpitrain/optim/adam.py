"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Adam:
    """change = -step * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon), t = clock + 1.

    m <- beta1 m + (1 - beta1) g and s <- beta2 s + (1 - beta2) g^2, both from 0; see Optimizer.
    Both corrections are scalars: one goes into the root, the other into the step size.

    Attributes:
        beta1: decay of the mean gradient, 0 <= beta1 < 1.
        beta2: decay of the mean squared gradient, 0 <= beta2 < 1.
        epsilon: added to the corrected root, as in the paper's algorithm, > 0.
        weight_decay: added to the gradient as this times the parameters.

    Source: Kingma and Ba 2015, algorithm 1; the textbook form, in which epsilon is not scaled by
    the bias correction (their section 2 has a shortcut that scales it).
    """

    state_names: ClassVar[tuple[str, ...]] = ("mean", "square")
    formula: ClassVar[str] = """
        mean = mean * beta1 + gradient * rest1
        square = square * beta2 + gradient * gradient * rest2
        change = mean / (sqrt(square) * correction + epsilon) * corrected_step
    """
    decouples_decay: ClassVar[bool] = False

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "rest1": 1 - self.beta1,
            "rest2": 1 - self.beta2,
            "epsilon": self.epsilon,
            "correction": (1 - self.beta2 ** (clock + 1)) ** -0.5,
            "corrected_step": -step_size / (1 - self.beta1 ** (clock + 1)),
        }
