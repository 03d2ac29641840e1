"""The host's twin that is compiled by Numba, where that is installed: one loop over the elements.

Numba is told nothing that would let it contract or reorder operations, so the bits are NumPy's.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.errors import reason
from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.kernel import Run, checked
from mpitrain.kernels.program import Operation, Program, program

# Squares are summed block by block, while a block is in the second-level cache.
BLOCK = 1 << 15  # elements
SCALARS, MEASURED = "scalars_", "measured_"


@functools.cache
def load_numba() -> Any:
    """Import Numba on the first call and never before, and try it.

    Raises:
        ModuleNotFoundError: it is not installed.
        ImportError: it does not work here.
    """
    try:
        numba = importlib.import_module("numba")
        _try(numba)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of many kinds: versions that do not fit, its compiler, settings
        raise ImportError(reason(error)) from error
    return numba


def _try(numba: Any) -> None:
    if numba.config.DISABLE_JIT:
        message = "NUMBA_DISABLE_JIT is set"
        raise ImportError(message)
    source = loop_source(program("a = a + b", memory=("a",), stores=("a",)))
    vector = np.ones(2, np.float32)
    _function(numba, source, vector.dtype, 2)(np.ones(1, np.float32), vector)
    if vector.tolist() != [2, 2]:
        message = "it computes wrongly"
        raise ImportError(message)


class CompiledKernel:
    """Runs a program as one compiled loop; see Kernel.

    The first one that a process compiles takes about half a second, later ones 0.1 s.
    """

    def __init__(self, program: Program, dtype: npt.DTypeLike) -> None:
        """Compile.

        Args:
            program: what to run.
            dtype: of all vectors.

        Raises:
            ImportError: there is no Numba.
        """
        self._program = program
        self._dtype = np.dtype(dtype)
        self._scalars = np.empty(len(program.scalars), dtype)
        self._measured = np.empty(BLOCK if _writes_measured(program) else 0, dtype)
        self._function = None
        if program.operations:
            num = 1 + len(program.vectors) + _writes_measured(program)
            self._function = _compiled(loop_source(program), self._dtype, num)

    def bind(self, vectors: Mapping[str, Array], squared: Array | None = None) -> Run:
        """Return what runs the program on every element; see Kernel."""
        program, scalars = self._program, self._scalars
        chosen = checked(program.vectors, vectors, self._dtype, squared)
        names, function = program.scalars, self._function
        if squared is None:
            assert function is not None  # a program without operations measures

            def run(values: Mapping[str, float]) -> None:
                scalars[:] = [values[name] for name in names]
                function(scalars, *chosen)

            return run

        blocks = list(self._blocks(chosen))

        def run_and_measure(values: Mapping[str, float]) -> None:
            scalars[:] = [values[name] for name in names]
            total = 0.0
            for arguments, measured in blocks:
                if function is not None:
                    function(scalars, *arguments)
                total = sum_of_squares(measured, total)
            squared[0] = total

        return run_and_measure

    def _blocks(self, vectors: list[Array]) -> Iterator[tuple[list[Array], Array]]:
        """Yield the arguments for each block, and what is measured after it."""
        program, num = self._program, len(vectors[0])
        for start in range(0, num, BLOCK):
            parts = [vector[start : start + BLOCK] for vector in vectors]
            if _writes_measured(program):
                measured = self._measured[: len(parts[0])]
                yield [*parts, measured], measured
            else:
                yield parts, parts[program.vectors.index(program.measured or "")]


def loop_source(program: Program) -> str:
    """Return the loop as Python: scalars (k,), then the vectors, then where to put the measured."""
    return "\n".join(_lines(program))


@functools.cache
def _compiled(source: str, dtype: np.dtype[Any], num: int) -> Callable[..., None]:
    """Return the loop compiled for so many vectors; simulated ranks share it."""
    return _function(load_numba(), source, dtype, num)


def _function(numba: Any, source: str, dtype: np.dtype[Any], num: int) -> Callable[..., None]:
    names: dict[str, Any] = {"sqrt": np.sqrt}
    exec(source, names)
    vector = numba.from_dtype(dtype)[::1]
    compile_ = numba.njit([(vector,) * num], error_model="numpy", nogil=True)
    return compile_(names["loop"])  # type: ignore[no-any-return]


def _writes_measured(program: Program) -> bool:
    """Tell whether what is measured is in no vector when the loop is over."""
    return program.measured is not None and program.measured not in (
        program.stores if program.operations else program.vectors
    )


def _lines(program: Program) -> Iterator[str]:
    takes = [SCALARS, *program.vectors, *([MEASURED] if _writes_measured(program) else [])]
    yield f"def loop({', '.join(takes)}):"
    for place, name in enumerate(program.scalars):
        yield f"    {name}_ = {SCALARS}[{place}]"
    yield f"    for i in range(len({program.vectors[0]})):"
    for name in program.loads:
        yield f"        {name}_ = {name}[i]"
    for op in program.operations:
        yield f"        {op.target}_ = {_expression(op)}"
    for name in program.stores:
        yield f"        {name}[i] = {name}_"
    if _writes_measured(program):
        yield f"        {MEASURED}[i] = {program.measured}_"


def _expression(op: Operation) -> str:
    names = [f"{name}_" for name in op.operands]
    if op.symbol == "min":
        first, second = names
        return f"{second} if {first} > {second} else {first}"
    if len(names) == 1:
        return f"{op.symbol}({names[0]})"
    return f" {op.symbol} ".join(names)
