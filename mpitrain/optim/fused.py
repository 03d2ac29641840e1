"""One rank's update as a program: what is done to every element, in one pass over memory.

Its parts are

begin
    the gradient times a factor (clipping / samples), compensation, weight decay, optimiser;
finish
    the change times the factor of staleness; what a compensation learns from it;
apply
    the change added to the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.kernels.kernel import Kernel, Run
from mpitrain.kernels.program import Program, program
from mpitrain.kernels.twins import Twin
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation

NOTHING = Compensation()


def update_program(
    optimizer: Optimizer,
    compensation: Compensation = NOTHING,
    *,
    begins: bool = True,
    finishes: bool = True,
    applies: bool = False,
    measures: bool = False,
) -> Program:
    """Return the program of an update, or of a part of one; see the module.

    Its vectors are those of ``gradient``, ``parameters`` (that the gradient was computed from),
    ``present`` (that it will be applied to), ``change`` and the state that it needs.

    Args:
        optimizer: the algorithm.
        compensation: corrects stale gradients.
        begins: with the first part; else ``change`` is there.
        finishes: with the second.
        applies: with the third, in which case ``change`` is not written.
        measures: sums the squares of the change.
    """
    state = (*optimizer.state_names, *compensation.state_names)
    parts: list[str] = []
    if begins:
        parts += _beginning(optimizer, compensation)
    if finishes:
        parts += ["change = change * factor", dedent(compensation.learn)]
    if applies:
        parts.append("parameters = parameters + change")
    text = "\n".join(parts)
    assigned = program(text, memory=(), stores=()).locals
    stores = (*state, "parameters" if applies else "change")
    return program(
        text,
        memory=("gradient", *state, "parameters", "present", "change"),
        stores=[name for name in stores if name in assigned],
        measured="change" if measures else None,
    )


def update_scalars(
    optimizer: Optimizer, step_size: float, clock: int, gradient_factor: float
) -> dict[str, float]:
    """Return the values of all scalars but the factor of staleness and the compensation's.

    Args:
        optimizer: the algorithm.
        step_size: see Optimizer.
        clock: see Optimizer.
        gradient_factor: multiplies the gradient first.
    """
    return {
        **optimizer.scalars(step_size, clock),
        "weight_decay": optimizer.weight_decay,
        "decay_step": -step_size * optimizer.weight_decay,
        "gradient_factor": gradient_factor,
    }


def _beginning(optimizer: Optimizer, compensation: Compensation) -> Iterator[str]:
    decays, decouples = bool(optimizer.weight_decay), optimizer.decouples_decay
    yield "gradient = gradient * gradient_factor"
    yield dedent(compensation.correct)
    if decays and not decouples:
        yield "gradient = gradient + parameters * weight_decay"
    yield dedent(optimizer.formula)
    if decays and decouples:
        yield "change = change + parameters * decay_step"


class FusedUpdate:
    """Makes the kernels of an optimiser's and a compensation's programs, each once."""

    def __init__(
        self,
        optimizer: Optimizer,
        compensation: Compensation,
        dtype: npt.DTypeLike,
        twin: Twin,
    ) -> None:
        """Prepare; a kernel is made when it is first bound.

        Args:
            optimizer: the algorithm.
            compensation: corrects stale gradients.
            dtype: of all vectors, float32 or float64.
            twin: says where and by what the programs are run.
        """
        self._optimizer, self._compensation = optimizer, compensation
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._twin = twin
        self._kernels: dict[tuple[bool, ...], Kernel] = {}

    def bind(
        self,
        vectors: Mapping[str, Array],
        squared: Array | None = None,
        *,
        begins: bool = True,
        finishes: bool = True,
        applies: bool = False,
    ) -> Run:
        """Return what updates these vectors; see update_program and Kernel.

        Args:
            vectors: (m,) each, by name, whole or of a shard. The gradient is left alone.
            squared: (1,), float64, beside the vectors, overwritten with the squared norm of the
                change; None spares it.
            begins: see update_program.
            finishes: see update_program.
            applies: see update_program.
        """
        key = begins, finishes, applies, squared is not None
        if key not in self._kernels:
            made = update_program(
                self._optimizer,
                self._compensation,
                begins=begins,
                finishes=finishes,
                applies=applies,
                measures=key[-1],
            )
            self._kernels[key] = self._twin.make(made, self._dtype)
        return self._kernels[key].bind(vectors, squared)

    def bind_prediction(self, vectors: Mapping[str, Array]) -> Run:
        """Return what moves the ``parameters`` that were just read; the compensation has it."""
        names = ("parameters", *self._compensation.state_names)
        made = program(self._compensation.predict, memory=names, stores=("parameters",))
        return self._twin.make(made, self._dtype).bind(vectors)
