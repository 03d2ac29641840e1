"""What an optimiser is: a formula for one element, and the values of its scalars."""

from __future__ import annotations

from typing import ClassVar, Protocol


class Optimizer(Protocol):
    """Turns a gradient into an additive change.

    The formula is run by ``optim.fused`` on every element, so the bits are the same whether it is
    applied to the whole vector or to its shards one after the other.

    Attributes:
        state_names: of the vectors (n,) it keeps, zeros at first.
        formula: assignments, one a line (see ``kernels.program``), on ``gradient`` (the mean over
            samples), on the state, and on the scalars; the last value of ``change`` is what is to
            be added to the parameters.
        decouples_decay: weight decay is taken off the change, not added to the gradient.
        weight_decay: added to the gradient as this times the parameters; with ``decouples_decay``,
            the share of the parameters taken off per unit of step size.
    """

    state_names: ClassVar[tuple[str, ...]]
    formula: ClassVar[str]
    decouples_decay: ClassVar[bool]

    @property
    def weight_decay(self) -> float:
        """See above."""

    def scalars(self, step_size: float, clock: int) -> dict[str, float]:
        """Return the values of the formula's other names.

        Args:
            step_size: learning rate times whatever else scales the update, >= 0.
            clock: updates made before with this state.
        """
