"""Delay compensation: a first-order guess of what the gradient is at the present parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mpitrain.optim.compensation import Compensation

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

    @property
    def correct(self) -> str:
        """See Compensation."""
        return "gradient = gradient + (present - parameters) * gradient * gradient * dc_control"

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """See Compensation."""
        return {"dc_control": self.control}


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

    state_names: ClassVar[tuple[str, ...]] = ("compensation_square",)
    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True

    control: float = 2.0
    decay: float = 0.95

    @property
    def correct(self) -> str:
        """See Compensation."""
        return """
            own = gradient * gradient
            compensation_square = compensation_square * dc_decay + own * dc_rest
            root = sqrt(compensation_square + dc_epsilon)
            gradient = gradient + (present - parameters) * own / root * dc_control
        """

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """See Compensation."""
        return {
            "dc_control": self.control,
            "dc_decay": self.decay,
            "dc_rest": 1 - self.decay,
            "dc_epsilon": EPSILON,
        }
