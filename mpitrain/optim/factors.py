"""How an update shrinks with its staleness: factor(tau), multiplied into every shard's change.

tau is the staleness of the shard's update: updates of other ranks, >= 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mpitrain.core.errors import UserError

Factor = Callable[[int], float]


def none(tau: int) -> float:
    """Return 1: stale updates count in full."""
    return 1.0


def inverse(tau: int) -> float:
    """Return 1 / tau, and 1 of what is not stale.

    Source: Zhang, Gupta, Lian, Liu, "Staleness-aware async-SGD for distributed deep learning",
    IJCAI 2016, section 3.
    """
    return 1.0 / max(tau, 1)


def inverse_sqrt(tau: int) -> float:
    """Return 1 / sqrt(1 + tau).

    Source: Nguyen et al., "Federated learning with buffered asynchronous aggregation" (FedBuff),
    AISTATS 2022.
    """
    return 1.0 / math.sqrt(1.0 + tau)


def polynomial(power: float) -> Factor:
    """Return (1 + tau)^-power as a function of tau.

    Source: Xie, Koyejo, Gupta, "Asynchronous federated optimization" (FedAsync), 2019; the default
    power of 0.5 is an unverified constant.
    """
    return lambda tau: float((1.0 + tau) ** -power)


def hinge(slope: float, start: float) -> Factor:
    """Return 1 up to tau = start, then 1 / (slope (tau - start) + 1), as a function of tau.

    Source: Xie, Koyejo, Gupta, "Asynchronous federated optimization" (FedAsync), 2019; the default
    slope of 10 and start of 4 are unverified constants.
    """
    return lambda tau: 1.0 if tau <= start else 1.0 / (slope * (tau - start) + 1.0)


def normalized(factor: Factor, mean: float) -> Factor:
    """Return ``factor`` divided by its value at a mean staleness, so that it is 1 there.

    Between whole numbers the factor is taken to be a straight line.

    Args:
        factor: >= 0.
        mean: >= 0.

    Raises:
        UserError: the factor is 0 there, as computed.
    """
    below = int(mean)
    share = mean - below
    at_mean = (1 - share) * factor(below) + share * factor(below + 1)
    if not at_mean:
        message = (
            f"staleness.normalize cannot divide by the factor at the mean staleness {mean:g}: it "
            "is 0 as computed; take a smaller staleness.power, staleness.hinge_slope or "
            "staleness.mean"
        )
        raise UserError(message)
    return lambda tau: factor(tau) / at_mean
