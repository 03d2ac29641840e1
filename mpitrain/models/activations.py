"""Activation functions with their slopes, both in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.core.arrays import Array, module_of


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        apply: replaces values z by f(z).
        to_slope: replaces values f(z) by the derivative f'(z).
        init_gain: variance of initial weights times the width of the layer before.
    """

    apply: Callable[[Array], None]
    to_slope: Callable[[Array], None]
    init_gain: float


def _relu(z: Array) -> None:
    module_of(z).maximum(z, 0, out=z)


def _relu_slope(f: Array) -> None:
    module_of(f).sign(f, out=f)  # 1 above zero, else 0


def _tanh(z: Array) -> None:
    module_of(z).tanh(z, out=z)


def _tanh_slope(f: Array) -> None:
    xp = module_of(f)
    xp.multiply(f, f, out=f)
    xp.subtract(1, f, out=f)


# Source of the gains: He et al. 2015, equation 10 (relu); LeCun et al. 1998, section 4.6 (tanh).
ACTIVATIONS = {
    "relu": Activation(_relu, _relu_slope, init_gain=2.0),
    "tanh": Activation(_tanh, _tanh_slope, init_gain=1.0),
}
