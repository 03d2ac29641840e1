"""Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mpitrain.optim.adam import Adam


@dataclass(frozen=True)
class AdamW(Adam):
    """change = Adam's change - step * weight_decay * parameters.

    Attributes:
        weight_decay: share of the parameters taken off per unit of step size.

    Source: Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the whole step
    size, as PyTorch has it, and not by the schedule alone.
    """

    decouples_decay: ClassVar[bool] = True

    weight_decay: float = 0.01
