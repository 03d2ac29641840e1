"""What an optimiser offers, and the one thing that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of


class Optimizer(Protocol):
    """Turns a gradient into an additive change; all memory is the caller's.

    Every operation is elementwise, so the bits are the same whether it is applied to the whole
    vector or to its shards one after the other. All siblings allocate nothing in an update.
    """

    state_names: ClassVar[tuple[str, ...]]

    def init(self, num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
        """Return a new state.

        Args:
            num: n, elements of the parameter vector.
            dtype: of the state.
            xp: array module to allocate with.

        Returns:
            (n,) for each of ``state_names``.
        """

    def update_into(
        self,
        state: Mapping[str, Array],
        gradient: Array,
        parameters: Array,
        step_size: float,
        clock: int,
        out: Array,
    ) -> None:
        """Write what is to be added to the parameters.

        Args:
            state: (m,) each, from ``init`` or slices of it, brought up to date.
            gradient: (m,), mean over samples, used as scratch.
            parameters: (m,), unchanged.
            step_size: learning rate times whatever else scales the update, >= 0.
            clock: updates made before with this state.
            out: (m,), overwritten; none of the others.
        """


def zeros(names: tuple[str, ...], num: int, dtype: npt.DTypeLike, xp: Any) -> dict[str, Array]:
    """Return one zero vector of ``num`` elements per name."""
    return {name: xp.zeros(num, dtype) for name in names}


def add_weight_decay(
    gradient: Array, parameters: Array, weight_decay: float, scratch: Array
) -> None:
    """Add the gradient of weight_decay / 2 times the squared norm of the parameters.

    Args:
        gradient: (m,), changed.
        parameters: (m,), unchanged.
        weight_decay: 0 changes nothing.
        scratch: (m,), overwritten.
    """
    if weight_decay:
        xp = module_of(gradient)
        xp.multiply(parameters, weight_decay, out=scratch)
        xp.add(gradient, scratch, out=gradient)
