"""The device's twin of the casts: one launch of one CUDA kernel, compiled through CuPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpitrain.core.arrays import Array, array_module
from mpitrain.kernels.cast_source import NARROW, THREADS, WIDEN, WIDTH, cast_source
from mpitrain.kernels.cuda_source import OPTIONS
from mpitrain.kernels.walk import PACK_BYTES, Walk, walk

MOST_BLOCKS = 2**31 - 1  # CUDA's limit


class DeviceCast:
    """Casts on the current device and stream; see Cast. Allocates and waits for nothing."""

    def __init__(self, kind: str) -> None:
        module = array_module("cuda").RawModule(code=cast_source(kind), options=OPTIONS)
        self._narrow: Any = module.get_function(NARROW)
        self._widen: Any = module.get_function(WIDEN)

    def narrow_into(self, values: Array, out: Array, scale: float) -> None:
        """Round to 16 bits; see Cast."""
        cut = cast_walk(len(values), values.data.ptr, out.data.ptr)
        _launch(self._narrow, values, out, scale, cut)

    def widen_into(self, values: Array, out: Array, scale: float) -> None:
        """Return to float32; see Cast."""
        cut = cast_walk(len(values), out.data.ptr, values.data.ptr)
        _launch(self._widen, values, out, scale, cut)


def _launch(kernel: Any, values: Array, out: Array, scale: float, cut: Walk) -> None:
    numbers = [np.int64(number) for number in (cut.head, cut.num_packs, cut.head + cut.tail)]
    blocks = cut.num_blocks(THREADS, MOST_BLOCKS)
    kernel((blocks,), (THREADS,), (values, out, np.float32(scale), *numbers))


def cast_walk(num: int, wide_address: int, narrow_address: int) -> Walk:
    """Return the cut for vectors at these addresses, with packs of 8 elements.

    Where the narrow ones reach a multiple of 16 bytes, the wide ones must be at one, too, or both
    are walked element by element.

    Args:
        num: elements of each vector.
        wide_address: of the first float32, bytes.
        narrow_address: of the first 16-bit number, bytes.
    """
    narrow_bytes = PACK_BYTES // WIDTH
    cut = walk(num, narrow_bytes, [narrow_address])
    is_aligned = (wide_address + cut.head * 2 * narrow_bytes) % PACK_BYTES == 0
    return cut if is_aligned else Walk(0, 0, num)
