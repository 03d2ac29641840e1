"""DANA-Slim: each worker looks ahead along its own momentum, and the parameters have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.compensation import Compensation

VELOCITY = "compensation_velocity"


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

    state_names: ClassVar[tuple[str, ...]] = (VELOCITY,)

    momentum: float = 0.9

    def correct(
        self,
        gradient: Array,
        read: Array,
        present: Array | None,
        tau: int,
        state: Mapping[str, Array],
        clock: int,
        scratch: tuple[Array, Array],
    ) -> None:
        """See Compensation."""
        xp, velocity, term = module_of(gradient), state[VELOCITY], scratch[0]
        xp.multiply(velocity, self.momentum, out=velocity)
        xp.add(velocity, gradient, out=velocity)
        xp.multiply(velocity, self.momentum, out=term)
        xp.add(gradient, term, out=gradient)
