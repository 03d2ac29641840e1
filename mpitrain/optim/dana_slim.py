"""DANA-Slim: each worker looks ahead along its own momentum, and the parameters have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mpitrain.optim.compensation import Compensation


@dataclass(frozen=True)
class DanaSlim(Compensation):
    """v <- gamma v + g; g <- gamma v + g, with this rank's own v; then plain SGD.

    The parameters that others read are so already where all ranks' momenta would take them. Without
    weight decay these are the numbers of optimizer.kind nesterov, whose velocity is each rank's own
    too; weight decay is added after this, so here it stays out of the velocity.

    Attributes:
        momentum: gamma, 0 <= gamma < 1.

    Source: Hakimi, Barkai, Gabel, Schuster, "Taming momentum in a distributed asynchronous
    environment", 2019 (as remembered, not checked against the text).
    """

    state_names: ClassVar[tuple[str, ...]] = ("compensation_velocity",)

    momentum: float = 0.9

    @property
    def correct(self) -> str:
        """See Compensation."""
        return """
            compensation_velocity = compensation_velocity * dana_momentum + gradient
            gradient = gradient + compensation_velocity * dana_momentum
        """

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """See Compensation."""
        return {"dana_momentum": self.momentum}
