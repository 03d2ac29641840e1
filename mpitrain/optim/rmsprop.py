"""RMSProp: steps scaled by a running mean of squared gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class RmsProp:
    """s <- decay s + (1 - decay) g^2; change = -step * g / (sqrt(s) + epsilon); see Optimizer.

    Attributes:
        decay: of the mean squared gradient, 0 <= decay < 1.
        epsilon: added to the root, > 0.
        weight_decay: added to the gradient as this times the parameters.

    Source: Tieleman and Hinton 2012, lecture 6.5, with epsilon outside the root.
    """

    state_names: ClassVar[tuple[str, ...]] = ("square",)
    formula: ClassVar[str] = """
        square = square * decay + gradient * gradient * rest
        change = gradient / (sqrt(square) + epsilon) * step
    """
    decouples_decay: ClassVar[bool] = False

    decay: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {
            "decay": self.decay,
            "rest": 1 - self.decay,
            "epsilon": self.epsilon,
            "step": -step_size,
        }
