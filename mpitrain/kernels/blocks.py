"""The host's twin: NumPy, block by block, so that all passes but the first are in cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.program import Operation, Program

# An update works on three to six blocks at once, about what a second-level cache holds. Measured:
# with half of it the calls themselves begin to count, with more there is nothing to win.
BLOCK_BYTES = 1 << 18

UFUNCS: dict[str, Callable[..., Any]] = {
    "*": np.multiply,
    "+": np.add,
    "-": np.subtract,
    "/": np.divide,
    "sqrt": np.sqrt,
}
Step = tuple[Callable[..., Any], Callable[[list[Any]], tuple[Any, ...]]]


class BlockKernel:
    """Runs a program with NumPy; see Kernel. Allocates nothing that grows with the vectors."""

    def __init__(self, program: Program, dtype: npt.DTypeLike) -> None:
        self._program = program
        self._block = BLOCK_BYTES // np.dtype(dtype).itemsize
        self._scratch = [np.empty(self._block, dtype) for _ in program.locals]
        self._scalars = [np.empty((), dtype) for _ in program.scalars]
        self._steps: dict[tuple[str, ...], tuple[list[Step], int]] = {}

    def run(
        self, vectors: Mapping[str, Array], scalars: Mapping[str, float], squared: Array | None
    ) -> None:
        """Run the program on every element; see Kernel."""
        program = self._program
        for place, name in zip(self._scalars, program.scalars, strict=True):
            place[()] = scalars[name]
        ones = tuple(name for name in program.scalars if scalars[name] == 1.0)
        if ones not in self._steps:
            self._steps[ones] = self._resolve(program.without_ones(ones))
        steps, measured = self._steps[ones]
        whole = [vectors[name] for name in program.vectors]
        inner = [*self._scratch, *self._scalars]
        total = 0.0
        for start in range(0, len(whole[0]), self._block):
            places = [vector[start : start + self._block] for vector in whole]
            if len(places[0]) < self._block:  # the last
                inner[: len(self._scratch)] = [part[: len(places[0])] for part in self._scratch]
            places += inner
            for ufunc, arguments in steps:
                ufunc(*arguments(places))
            if squared is not None:
                total = sum_of_squares(places[measured], total)
        if squared is not None:
            squared[0] = total

    def _resolve(self, operations: tuple[Operation, ...]) -> tuple[list[Step], int]:
        """Return the operations with places for names, and the place of what is measured.

        Places count the vectors, the scratch blocks and the scalars, in this order. A name that
        is loaded and then assigned without being stored moves from its vector to its scratch.
        """
        program = self._program
        names = (*program.vectors, *program.locals, *program.scalars)
        homes = {name: place for place, name in reversed(list(enumerate(names)))}
        scratch = {
            name: place for place, name in enumerate(program.locals, start=len(program.vectors))
        }
        steps: list[Step] = []
        for op in operations:
            operands = [homes[name] for name in op.operands]
            homes[op.target] = scratch.get(op.target, homes[op.target])
            steps.append((UFUNCS[op.symbol], itemgetter(*operands, homes[op.target])))
        return steps, homes.get(program.measured or "", 0)
