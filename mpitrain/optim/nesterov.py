"""Gradient descent with Nesterov's momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Nesterov:
    """v <- momentum * v + g; change = -step * (g + momentum * v); see Optimizer.

    Attributes:
        momentum: share of the velocity kept per step, 0 <= momentum < 1.
        weight_decay: added to the gradient as this times the parameters.

    Source: Nesterov 1983, in the form of Sutskever et al. 2013 with the gradient taken at the
    parameters themselves (Bengio, Boulanger-Lewandowski, Pascanu 2013, section 3.5).
    """

    state_names: ClassVar[tuple[str, ...]] = ("velocity",)
    formula: ClassVar[str] = """
        velocity = velocity * momentum + gradient
        change = (velocity * momentum + gradient) * step
    """
    decouples_decay: ClassVar[bool] = False

    momentum: float = 0.9
    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {"momentum": self.momentum, "step": -step_size}
