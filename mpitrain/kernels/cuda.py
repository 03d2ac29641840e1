"""The device's twin: one launch of one generated CUDA kernel, compiled through CuPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, array_module
from mpitrain.kernels.cuda_source import NAME, OPTIONS, THREADS, cuda_source
from mpitrain.kernels.kernel import Run, checked
from mpitrain.kernels.ordered_sum import MOST_BLOCKS as MOST_SUMS
from mpitrain.kernels.program import Program
from mpitrain.kernels.walk import walk

# One pack a thread is fastest (H200, 256 MiB): blocks start in the order of memory, while threads
# that stay and stride drift apart. Only sums are worth keeping threads for, and as their number
# is the same on every device, so are the bits.
MOST_BLOCKS = 2**31 - 1  # CUDA's limit


class DeviceKernel:
    """Runs a program on the current device and stream; see Kernel.

    Compiling takes a fraction of a second once per machine: CuPy keeps the result on disk. A run
    allocates nothing and waits for nothing. Runs that measure must be on one stream.
    """

    def __init__(self, program: Program, dtype: npt.DTypeLike) -> None:
        xp = array_module("cuda")
        self._program = program
        self._dtype = np.dtype(dtype)
        self._scalar: Any = self._dtype.type
        module = xp.RawModule(code=cuda_source(program, dtype), options=OPTIONS)
        self._kernel: Any = module.get_function(NAME)
        self._most_blocks = MOST_BLOCKS
        self._sums: tuple[Array, ...] = ()
        if program.measured is not None:
            self._most_blocks = MOST_SUMS
            self._sums = (xp.empty(MOST_SUMS, np.float64), xp.zeros(1, np.uint32))

    def bind(self, vectors: Mapping[str, Array], squared: Array | None = None) -> Run:
        """Return what runs the program on every element; see Kernel."""
        names = self._program.scalars
        arrays = checked(self._program.vectors, vectors, self._dtype, squared)
        cut = walk(len(arrays[0]), arrays[0].itemsize, (array.data.ptr for array in arrays))
        lengths = [np.int64(n) for n in (cut.head, cut.num_packs, cut.head + cut.tail)]
        last = lengths if squared is None else [*lengths, *self._sums, squared]
        blocks = (cut.num_blocks(THREADS, self._most_blocks),)

        def run(scalars: Mapping[str, float]) -> None:
            values = (self._scalar(scalars[name]) for name in names)
            self._kernel(blocks, (THREADS,), (*arrays, *values, *last))

        return run
