"""Delay compensation: a first-order guess of what the gradient is at the present parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.compensation import Compensation

SQUARE = "compensation_square"
EPSILON = 1e-7


@dataclass(frozen=True)
class DcAsgdC(Compensation):
    """g <- g + lambda g g (present - read), per element; g g stands for the Hessian's diagonal.

    Attributes:
        control: lambda, >= 0.

    Source: Zheng et al., "Asynchronous stochastic gradient descent with delay compensation", ICML
    2017, with a constant lambda; 0.04 is the default of published code.
    """

    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True

    control: float = 0.04

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
        xp, (term, _) = module_of(gradient), scratch
        xp.subtract(present, read, out=term)
        xp.multiply(term, gradient, out=term)
        xp.multiply(term, gradient, out=term)
        xp.multiply(term, self.control, out=term)
        xp.add(gradient, term, out=gradient)


@dataclass(frozen=True)
class DcAsgdA(Compensation):
    """As DcAsgdC, with lambda = control / sqrt(MS + 1e-7), per element.

    MS <- decay MS + (1 - decay) g g is a running mean of this rank's own squared gradients, brought
    up to date before it is used.

    Attributes:
        control: lambda_0, >= 0.
        decay: of the running mean, 0 <= decay < 1.

    Source: Zheng et al., "Asynchronous stochastic gradient descent with delay compensation", ICML
    2017, with an adaptive lambda; one MS per worker as in the authors' code. The defaults of 2
    and 0.95 are unverified constants of its CIFAR-10 runs.
    """

    state_names: ClassVar[tuple[str, ...]] = (SQUARE,)
    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True

    control: float = 2.0
    decay: float = 0.95

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
        xp, (term, square), mean = module_of(gradient), scratch, state[SQUARE]
        xp.multiply(gradient, gradient, out=square)
        xp.multiply(square, 1 - self.decay, out=term)
        xp.multiply(mean, self.decay, out=mean)
        xp.add(mean, term, out=mean)
        xp.subtract(present, read, out=term)
        xp.multiply(term, square, out=term)
        xp.add(mean, EPSILON, out=square)
        xp.sqrt(square, out=square)
        xp.divide(term, square, out=term)
        xp.multiply(term, self.control, out=term)
        xp.add(gradient, term, out=gradient)
