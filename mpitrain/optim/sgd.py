"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Sgd:
    """change = -step * g; see Optimizer.

    Attributes:
        weight_decay: added to the gradient as this times the parameters.

    Source: Robbins and Monro 1951.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    formula: ClassVar[str] = "change = gradient * step"
    decouples_decay: ClassVar[bool] = False

    weight_decay: float = 0.0

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """See Optimizer."""
        return {"step": -step_size}
