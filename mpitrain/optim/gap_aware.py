"""Gap-aware: a gradient counts the less, the further its parameters have moved meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.compensation import Compensation

STEP = "compensation_step"
EPSILON = 1e-12  # unverified constant: keeps the gap of a parameter that never moved finite


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

    state_names: ClassVar[tuple[str, ...]] = (STEP,)
    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True

    decay: float = 0.999
    weight_decay: float = 0.0

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
        if clock == 0:
            return
        xp, (penalty, other) = module_of(gradient), scratch
        xp.multiply(state[STEP], 1 / (1 - self.decay**clock), out=other)
        xp.sqrt(other, out=other)
        xp.add(other, EPSILON, out=other)
        xp.subtract(present, read, out=penalty)
        xp.absolute(penalty, out=penalty)
        xp.divide(penalty, other, out=penalty)
        xp.minimum(penalty, float(tau), out=penalty)
        xp.add(penalty, 1.0, out=penalty)
        if not self.weight_decay:
            xp.divide(gradient, penalty, out=gradient)
            return
        xp.multiply(read, self.weight_decay, out=other)
        xp.add(gradient, other, out=gradient)
        xp.divide(gradient, penalty, out=gradient)
        xp.subtract(gradient, other, out=gradient)  # the optimiser adds it again

    def learn(
        self, change: Array, tau: int, state: Mapping[str, Array], clock: int, scratch: Array
    ) -> None:
        """See Compensation."""
        xp, mean = module_of(change), state[STEP]
        xp.multiply(change, change, out=scratch)
        xp.multiply(scratch, 1 - self.decay, out=scratch)
        xp.multiply(mean, self.decay, out=mean)
        xp.add(mean, scratch, out=mean)
