"""Gap-aware: a gradient counts the less, the further its parameters have moved meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mpitrain.optim.compensation import Compensation

EPSILON = 1e-12  # unverified constant: keeps the gap of a parameter that never moved finite

GAP = """
    gap = abs(present - parameters) / (sqrt(compensation_step * gap_correction) + gap_epsilon)
    gap = min(gap, gap_limit)
"""


@dataclass(frozen=True)
class GapAware(Compensation):
    """g <- g / (1 + G) per element, with the gap G = |present - read| / C.

    C is the root of a running mean of the squares of this rank's own changes, so that the gap is
    the number of average updates by which a parameter has moved. It is at most the staleness: a
    parameter that this rank seldom changes, and others do, would otherwise never change again.
    Before the first update nothing is corrected. Weight decay that the optimiser adds to the
    gradient is divided too.

    Attributes:
        decay: of the running mean, 0 <= decay < 1.
        weight_decay: that the optimiser will add to the gradient.

    Source: Barkai, Hakimi, Schuster, "Gap-aware mitigation of gradient staleness", ICLR 2020. They
    take C from the momentum buffer times the largest learning rate; here it is the change itself,
    and the limit is ours.
    A decay of 0.999 is that of published code (FTPipe).
    """

    state_names: ClassVar[tuple[str, ...]] = ("compensation_step",)
    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True
    learn: ClassVar[str] = """
        compensation_step = compensation_step * gap_decay + change * change * gap_rest
    """

    decay: float = 0.999
    weight_decay: float = 0.0

    @property
    def correct(self) -> str:
        """See Compensation."""
        if not self.weight_decay:
            return GAP + "    gradient = gradient / (gap + gap_one)"
        # all of the sum is divided, and the optimiser adds the decay as a whole
        whole = "(gradient + parameters * gap_weight_decay)"
        return GAP + f"    gradient = gradient - {whole} * gap / (gap + gap_one)"

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """See Compensation."""
        return {
            "gap_decay": self.decay,
            "gap_rest": 1 - self.decay,
            "gap_correction": 1 / (1 - self.decay**clock) if clock else 1.0,
            "gap_epsilon": EPSILON,
            "gap_limit": float(tau) if clock else 0.0,
            "gap_one": 1.0,
            "gap_weight_decay": self.weight_decay,
        }
