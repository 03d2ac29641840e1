"""Gradient descent with momentum (heavy ball)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Momentum:
    """v <- momentum * v + g; change = -step * v; see Optimizer.

    Attributes:
        momentum: share of the velocity kept per step, 0 <= momentum < 1.
        weight_decay: added to the gradient as this times the parameters.

    Source: Polyak 1964, with the step size outside the velocity.
    """

    state_names: ClassVar[tuple[str, ...]] = ("velocity",)
    formula: ClassVar[str] = """
        velocity = velocity * momentum + gradient
        change = velocity * step
    """
    decouples_decay: ClassVar[bool] = False

    momentum: float = 0.9
    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {"momentum": self.momentum, "step": -step_size}
