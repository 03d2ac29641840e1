"""An optimiser's update in one pass over memory; the same bits as the optimiser's own passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.kernels.blocks import BlockKernel
from mpitrain.kernels.cuda import DeviceKernel
from mpitrain.kernels.formulas import formula_of, update_program, update_scalars
from mpitrain.kernels.program import Kernel, Program, program
from mpitrain.optim.base import Optimizer


class FusedUpdate:
    """Gradient's factor, weight decay, optimiser and staleness factor in one pass.

    Vectors are contiguous and may start anywhere: shards are slices. Unlike the optimiser's own
    update, the gradient is left alone. NumPy and CuPy give the same bits but for ``squared``.
    """

    def __init__(self, optimizer: Optimizer, dtype: npt.DTypeLike, xp: Any) -> None:
        """Prepare for vectors of one type in one place; kernels are compiled when first run.

        Args:
            optimizer: the algorithm.
            dtype: of all vectors, float32 or float64.
            xp: array module of all vectors.

        Raises:
            UserError: the optimiser has no fused form.
        """
        formula_of(optimizer)
        self._optimizer = optimizer
        self._dtype = np.dtype(dtype)
        self._xp = xp
        self._kernels: dict[tuple[bool, bool], Kernel] = {}

    def update_into(
        self,
        state: Mapping[str, Array],
        gradient: Array,
        parameters: Array,
        step_size: float,
        clock: int,
        out: Array,
        *,
        gradient_factor: float = 1.0,
        factor: float = 1.0,
        squared: Array | None = None,
    ) -> None:
        """Write what is to be added to the parameters.

        Args:
            state: (m,) each, brought up to date.
            gradient: (m,), unchanged.
            parameters: (m,), unchanged; read only where there is weight decay.
            step_size: see Optimizer.
            clock: see Optimizer.
            out: (m,), overwritten; none of the others.
            gradient_factor: multiplies the gradient first, for example clipping / samples.
            factor: multiplies the change last: the factor of staleness.
            squared: (1,), float64, overwritten with the squared norm of the change; None spares it.
        """
        vectors = {**state, "gradient": gradient, "parameters": parameters, "change": out}
        scalars = update_scalars(self._optimizer, step_size, clock, gradient_factor, factor)
        self._run(vectors, scalars, squared, applies=False)

    def apply(
        self,
        state: Mapping[str, Array],
        gradient: Array,
        parameters: Array,
        step_size: float,
        clock: int,
        *,
        gradient_factor: float = 1.0,
        factor: float = 1.0,
        squared: Array | None = None,
    ) -> None:
        """Add the change to the parameters in the same pass; see update_into."""
        vectors = {**state, "gradient": gradient, "parameters": parameters}
        scalars = update_scalars(self._optimizer, step_size, clock, gradient_factor, factor)
        self._run(vectors, scalars, squared, applies=True)

    def _run(
        self,
        vectors: Mapping[str, Array],
        scalars: Mapping[str, float],
        squared: Array | None,
        *,
        applies: bool,
    ) -> None:
        check_vectors(vectors, self._dtype)
        check_sum(squared)
        key = applies, squared is not None
        if key not in self._kernels:
            made = update_program(self._optimizer, applies=applies, measures=key[1])
            self._kernels[key] = kernel(made, self._dtype, self._xp)
        self._kernels[key].run(vectors, scalars, squared)


class SquaredNorm:
    """The sum of squares of a vector, left where the vector is: nothing waits for it."""

    def __init__(self, dtype: npt.DTypeLike, xp: Any) -> None:
        self._dtype = np.dtype(dtype)
        made = program((), memory=("vector",), stores=(), measured="vector")
        self._kernel = kernel(made, dtype, xp)

    def measure_into(self, vector: Array, out: Array) -> None:
        """Write the sum of the squared elements.

        On the host the bits of ``sum_of_squares``; on a device the same bits whenever length and
        alignment are the same.

        Args:
            vector: (m,), unchanged.
            out: (1,), float64, overwritten.
        """
        check_vectors({"vector": vector}, self._dtype)
        check_sum(out)
        self._kernel.run({"vector": vector}, {}, out)


def kernel(made: Program, dtype: npt.DTypeLike, xp: Any) -> Kernel:
    """Return the program made ready for vectors of ``xp``."""
    return BlockKernel(made, dtype) if xp is np else DeviceKernel(made, dtype)


def check_vectors(vectors: Mapping[str, Array], dtype: np.dtype[Any]) -> None:
    """Refuse what a kernel would misread without a word.

    Raises:
        ValueError: a vector's type or length differs, or it is not contiguous.
    """
    first = next(iter(vectors.values()))
    for name, vector in vectors.items():
        if vector.dtype != dtype or vector.shape != first.shape or not vector.flags.c_contiguous:
            msg = (
                f"{name} must be a contiguous {dtype} vector like the others of the update, "
                f"{first.shape}; got {vector.dtype} {vector.shape}"
            )
            raise ValueError(msg)


def check_sum(squared: Array | None) -> None:
    """Refuse a place for a sum that does not hold one float64.

    Raises:
        ValueError: it is another array.
    """
    if squared is not None and (squared.dtype != np.float64 or squared.shape != (1,)):
        msg = f"a sum is written to one float64, (1,); got {squared.dtype} {squared.shape}"
        raise ValueError(msg)
