"""Every optimiser's change of one element, in the order in which ``optim`` computes it.

The lines are bracketed by what all share: the factor of the gradient before, the staleness factor
after. A compensation for staleness belongs between the gradient's factor and the weight decay; it
is more lines, which may name more vectors (``parameters_read``) and scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mpitrain.core.errors import unknown
from mpitrain.kernels.program import Program, program
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd


@dataclass(frozen=True)
class Formula:
    """What one optimiser does to an element.

    Attributes:
        scalars: (optimizer, step size, clock) to the values of the names that are no vectors.
        text: operations on ``gradient``, ``parameters`` and the state; assigns the ``change``.
        decouples_decay: weight decay is taken off the change, not added to the gradient.
    """

    scalars: Callable[[Any, float, int], dict[str, float]]
    text: str
    decouples_decay: bool = False


_ADAM = """
    scratch = gradient * rest1
    mean = mean * beta1
    mean = mean + scratch
    scratch = gradient * gradient
    scratch = scratch * rest2
    square = square * beta2
    square = square + scratch
    change = sqrt(square)
    change = change * correction2
    change = change + epsilon
    change = mean / change
    change = change * corrected_step
"""


def _adam(o: Adam | AdamW, step_size: float, clock: int) -> dict[str, float]:
    return {
        "beta1": o.beta1,
        "beta2": o.beta2,
        "rest1": 1 - o.beta1,
        "rest2": 1 - o.beta2,
        "epsilon": o.epsilon,
        "correction2": (1 - o.beta2 ** (clock + 1)) ** -0.5,
        "corrected_step": -step_size / (1 - o.beta1 ** (clock + 1)),
    }


FORMULAS: dict[type, Formula] = {
    Sgd: Formula(
        lambda o, step_size, clock: {"step": -step_size},
        "change = gradient * step",
    ),
    Momentum: Formula(
        lambda o, step_size, clock: {"momentum": o.momentum, "step": -step_size},
        """
        velocity = velocity * momentum
        velocity = velocity + gradient
        change = velocity * step
        """,
    ),
    Nesterov: Formula(
        lambda o, step_size, clock: {"momentum": o.momentum, "step": -step_size},
        """
        velocity = velocity * momentum
        velocity = velocity + gradient
        change = velocity * momentum
        change = change + gradient
        change = change * step
        """,
    ),
    Adam: Formula(_adam, _ADAM),
    AdamW: Formula(_adam, _ADAM, decouples_decay=True),
    Adagrad: Formula(
        lambda o, step_size, clock: {"epsilon": o.epsilon, "step": -step_size},
        """
        scratch = gradient * gradient
        square = square + scratch
        change = sqrt(square)
        change = change + epsilon
        change = gradient / change
        change = change * step
        """,
    ),
    RmsProp: Formula(
        lambda o, step_size, clock: {
            "decay": o.decay,
            "rest": 1 - o.decay,
            "epsilon": o.epsilon,
            "step": -step_size,
        },
        """
        scratch = gradient * gradient
        scratch = scratch * rest
        square = square * decay
        square = square + scratch
        change = sqrt(square)
        change = change + epsilon
        change = gradient / change
        change = change * step
        """,
    ),
}


def formula_of(optimizer: Optimizer) -> Formula:
    """Return the formula of an optimiser.

    Raises:
        UserError: there is none for its type.
    """
    formula = FORMULAS.get(type(optimizer))
    if formula is None:
        known = [kind.__name__ for kind in FORMULAS]
        mistake = unknown("fused optimizer", type(optimizer).__name__, known)
        raise mistake
    return formula


def update_program(optimizer: Optimizer, *, applies: bool, measures: bool) -> Program:
    """Return the program of an optimiser's update.

    Args:
        optimizer: its type says the formula, its ``weight_decay`` whether parameters are read.
        applies: add the change to ``parameters``, instead of writing ``change``.
        measures: sum the squares of the change.
    """
    result = "parameters" if applies else "change"
    return program(
        _lines(optimizer, applies=applies),
        memory=dict.fromkeys(("gradient", *optimizer.state_names, "parameters", result)),
        stores=(*optimizer.state_names, result),
        measured="change" if measures else None,
    )


def update_scalars(
    optimizer: Optimizer, step_size: float, clock: int, gradient_factor: float, factor: float
) -> dict[str, float]:
    """Return the values of all scalars that ``update_program`` names."""
    decay: float = optimizer.weight_decay  # type: ignore[attr-defined]  # all siblings have it
    return {
        **formula_of(optimizer).scalars(optimizer, step_size, clock),
        "weight_decay": decay,
        "decay_step": -step_size * decay,
        "gradient_factor": gradient_factor,
        "factor": factor,
    }


def _lines(optimizer: Optimizer, *, applies: bool) -> Iterator[str]:
    formula = formula_of(optimizer)
    decays = bool(optimizer.weight_decay)  # type: ignore[attr-defined]
    yield "gradient = gradient * gradient_factor"
    if decays and not formula.decouples_decay:
        yield "scratch = parameters * weight_decay"
        yield "gradient = gradient + scratch"
    yield from (line.strip() for line in formula.text.strip().splitlines())
    if decays and formula.decouples_decay:
        yield "scratch = parameters * decay_step"
        yield "change = change + scratch"
    yield "change = change * factor"
    if applies:
        yield "parameters = parameters + change"
