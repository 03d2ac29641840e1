"""The host's twin: NumPy, block by block, so that all passes but the first are in cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.kernel import Run, checked
from mpitrain.kernels.program import NUMPY_NAMES, Program

# An update works on three to six blocks at once, about what a second-level cache holds. Measured:
# with half of it the calls themselves begin to count, with more there is nothing to win.
BLOCK_BYTES = 1 << 18


UFUNCS: dict[str, Callable[..., Any]] = {
    symbol: getattr(np, name) for symbol, name in NUMPY_NAMES.items()
}
UFUNCS["min"] = lambda one, other, out: np.minimum(one, other, out=out)  # it wants ``out`` by name
Call = tuple[Callable[..., Any], tuple[Array, ...]]


class BlockKernel:
    """Runs a program with NumPy; see Kernel."""

    def __init__(
        self, program: Program, dtype: npt.DTypeLike, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """Prepare scratch memory.

        Args:
            program: what to run.
            dtype: of all vectors.
            block_bytes: of each vector at a time.
        """
        self._program = program
        self._dtype = np.dtype(dtype)
        self._block = block_bytes // self._dtype.itemsize
        self._scratch = {name: np.empty(self._block, dtype) for name in program.locals}
        self._scalars = {name: np.empty((), dtype) for name in program.scalars}

    def bind(self, vectors: Mapping[str, Array], squared: Array | None = None) -> Run:
        """Return what runs the program on every element; see Kernel."""
        program = self._program
        chosen = checked(program.vectors, vectors, self._dtype, squared)
        named = dict(zip(program.vectors, chosen, strict=True))
        resolved: dict[tuple[str, ...], list[tuple[list[Call], Array]]] = {}

        def run(scalars: Mapping[str, float]) -> None:
            for name, place in self._scalars.items():
                place[()] = scalars[name]
            ones = tuple(name for name in program.scalars if scalars[name] == 1.0)
            if ones not in resolved:
                resolved[ones] = list(self._resolved(named, ones))
            total = 0.0
            for calls, measured in resolved[ones]:
                for ufunc, arguments in calls:
                    ufunc(*arguments)
                if squared is not None:
                    total = sum_of_squares(measured, total)
            if squared is not None:
                squared[0] = total

        return run

    def _resolved(
        self, vectors: Mapping[str, Array], ones: tuple[str, ...]
    ) -> Iterator[tuple[list[Call], Array]]:
        """Yield the calls for each block, and what is measured after them.

        A name that is loaded and then assigned without being stored moves from its vector to its
        scratch.
        """
        program = self._program
        operations = program.without_ones(ones)
        num = len(next(iter(vectors.values())))
        for start in range(0, num, self._block):
            length = min(self._block, num - start)
            scratch = {name: block[:length] for name, block in self._scratch.items()}
            homes = self._scalars | scratch
            homes |= {name: vector[start : start + length] for name, vector in vectors.items()}
            calls = []
            for op in operations:
                operands = tuple(homes[name] for name in op.operands)
                homes[op.target] = scratch.get(op.target, homes[op.target])
                calls.append((UFUNCS[op.symbol], (*operands, homes[op.target])))
            yield calls, homes[program.measured or program.vectors[0]]
