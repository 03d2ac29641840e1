"""Adagrad: steps shrink with the sum of squared gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Adagrad:
    """s <- s + g^2; change = -step * g / (sqrt(s) + epsilon); see Optimizer.

    Attributes:
        epsilon: added to the root, > 0.
        weight_decay: added to the gradient as this times the parameters.

    Source: Duchi, Hazan, Singer 2011, the diagonal form, with epsilon outside the root.
    """

    state_names: ClassVar[tuple[str, ...]] = ("square",)
    formula: ClassVar[str] = """
        square = square + gradient * gradient
        change = gradient / (sqrt(square) + epsilon) * step
    """
    decouples_decay: ClassVar[bool] = False

    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {"epsilon": self.epsilon, "step": -step_size}
