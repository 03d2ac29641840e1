"""Updates on small vectors: by a twin of the kernels, and as the formulas' text says."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import numpy as np

from mpitrain.kernels.twins import Twin
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.fused import NOTHING, FusedUpdate, update_scalars

FUNCTIONS = {"sqrt": np.sqrt, "abs": np.absolute, "min": np.minimum}


def zeros(subject: Optimizer | Compensation, num: int, dtype: Any, xp: Any) -> dict[str, Any]:
    """Return a new state: one zero vector per name."""
    return {name: xp.zeros(num, dtype) for name in subject.state_names}


class Stepper:
    """Runs an optimiser on whole vectors that may be other ones each time."""

    def __init__(self, optimizer: Optimizer, dtype: str, twin: Twin) -> None:
        self.optimizer, self.xp = optimizer, twin.xp
        self._fused = FusedUpdate(optimizer, NOTHING, dtype, twin)

    def change(
        self,
        state: dict[str, Any],
        gradient: Any,
        parameters: Any,
        step_size: float,
        clock: int,
        out: Any,
    ) -> None:
        """Write the change of one step."""
        vectors = {**state, "gradient": gradient, "parameters": parameters, "change": out}
        run = self._fused.bind(vectors, finishes=False)
        run(update_scalars(self.optimizer, step_size, clock, 1.0))


def run_plainly(text: str, values: dict[str, Any]) -> None:
    """Run the lines of a formula as Python, on whole vectors; names are assigned in ``values``.

    Scalars are rounded to the vectors' type first, as every twin does.
    """
    exec(dedent(text), {**FUNCTIONS}, values)


def plain_update(
    optimizer: Optimizer,
    compensation: Compensation,
    values: dict[str, Any],
    scalars: dict[str, float],
    dtype: str,
) -> None:
    """Assign ``change`` and the state: all of an update, in the order that is written down.

    Args:
        optimizer: the algorithm.
        compensation: corrects stale gradients.
        values: the vectors, by name; new ones take the place of those that are assigned.
        scalars: with ``gradient_factor`` and ``factor``.
        dtype: of the vectors.
    """
    values |= {name: np.dtype(dtype).type(value) for name, value in scalars.items()}
    gradient = values["gradient"]
    run_plainly("gradient = gradient * gradient_factor", values)
    run_plainly(compensation.correct, values)
    if not optimizer.decouples_decay:
        run_plainly("gradient = gradient + parameters * weight_decay", values)
    run_plainly(optimizer.formula, values)
    if optimizer.decouples_decay:
        run_plainly("change = change + parameters * decay_step", values)
    run_plainly("change = change * factor", values)
    run_plainly(compensation.learn, values)
    values["gradient"] = gradient
