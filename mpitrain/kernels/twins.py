"""Which twin of the kernels runs: NumPy or Numba on the host, CUDA on a device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, array_module
from mpitrain.core.errors import UserError
from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.blocks import BlockKernel
from mpitrain.kernels.compiled import CompiledKernel, load_numba
from mpitrain.kernels.cuda import DeviceKernel
from mpitrain.kernels.kernel import Kernel, Run
from mpitrain.kernels.program import Program, program


@dataclass(frozen=True)
class Twin:
    """One way to run programs.

    Attributes:
        name: "numpy", "numba" or "cuda".
        version: of the library that runs or compiles them.
        xp: array module of their vectors.
        make: program, dtype -> kernel.
        trouble: why a faster one was not taken; empty where there is none.
    """

    name: str
    version: str
    xp: Any
    make: Callable[[Program, npt.DTypeLike], Kernel]
    trouble: str = ""

    def wait(self) -> None:
        """Wait for what was enqueued so far; on the host nothing is."""
        if self.xp is not np:
            self.xp.cuda.get_current_stream().synchronize()

    def add(self, to: Array, change: Array) -> None:
        """Add vectors as ranks add them on the host.

        CuPy's own addition takes numbers nearer to 0 than 1.2e-38 for 0, a kernel does not.

        Args:
            to: (m,), changed.
            change: (m,), unchanged.
        """
        if self.xp is np:
            np.add(to, change, out=to)
        else:
            self.addition(to, change)({})

    def addition(self, to: Array, change: Array) -> Run:
        """Return what adds ``change`` to ``to``, which are kept; see ``add``."""
        return _addition(self.make, to.dtype).bind({"to": to, "change": change})

    @property
    def label(self) -> str:
        """Name and version, for the log."""
        return f"{self.name} {self.version}"


@functools.cache
def _addition(make: Callable[[Program, npt.DTypeLike], Kernel], dtype: np.dtype[Any]) -> Kernel:
    made = program("to = to + change", memory=("to", "change"), stores=("to",))
    return make(made, dtype)


def host_twin(name: str = "auto") -> Twin:
    """Return a twin for vectors on the host.

    Args:
        name: "numpy", "numba", or "auto", which is "numba" where it is installed.

    Raises:
        UserError: Numba is asked for and does not work.
    """
    if name == "numpy":
        return _numpy()
    try:
        return Twin("numba", str(load_numba().__version__), np, CompiledKernel)
    except ImportError as error:
        if name == "auto":
            is_absent = isinstance(error, ModuleNotFoundError)
            return _numpy("" if is_absent else f"Numba does not work here ({error})")
        message = (
            f"device.kernels 'numba' needs Numba, which does not work here ({error}); "
            "pip install numba, or choose 'numpy'"
        )
        raise UserError(message) from error


def _numpy(trouble: str = "") -> Twin:
    return Twin("numpy", np.__version__, np, BlockKernel, trouble)


def device_twin() -> Twin:
    """Return the twin for vectors on the current device.

    Raises:
        UserError: there is no CuPy.
    """
    xp = array_module("cuda")
    return Twin("cuda", f"CuPy {xp.__version__}", xp, DeviceKernel)


class SquaredNorm:
    """The sum of squares of a vector.

    Attributes:
        out: (1,), float64, beside the vector, what ``measure`` found.
    """

    def __init__(self, vector: Array, twin: Twin) -> None:
        """Prepare to measure.

        Args:
            vector: (m,), contiguous, host or device; kept.
            twin: of where it is.
        """
        self.out = twin.xp.zeros(1)
        self._vector, self._is_on_host = vector, twin.xp is np
        if not self._is_on_host:
            made = program("", memory=("vector",), stores=(), measured="vector")
            self._run = twin.make(made, vector.dtype).bind({"vector": vector}, self.out)

    def measure(self) -> None:
        """Write the sum of the squared elements to ``out``; nothing waits for it.

        On the host the bits of ``sum_of_squares``; on a device the same bits whenever length and
        alignment are the same.
        """
        if self._is_on_host:
            self.out[0] = sum_of_squares(self._vector)
        else:
            self._run({})

    def value(self) -> float:
        """Measure, wait for it and return it."""
        self.measure()
        return float(self.out[0])
