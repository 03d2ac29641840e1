"""Host memory whose pages stay in place, so that a device can copy while the host goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.console import size_text
from mpitrain.core.errors import UserError, reason


def page_locked(xp: Any, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a page-locked vector of zeros, of just the bytes that it needs.

    Its memory is freed with the last array that looks at it, so a vector must be kept until no copy
    touches it any more.

    Args:
        xp: CuPy.
        size: elements, n >= 0.
        dtype: of an element.

    Returns:
        (n,), ``dtype``, host.

    Raises:
        UserError: the system locks no more memory.
    """
    dtype = np.dtype(dtype)
    num_bytes = max(size * dtype.itemsize, 1)
    try:
        # CuPy's pool would take the next power of two, and keep it
        memory = xp.cuda.PinnedMemoryPointer(xp.cuda.PinnedMemory(num_bytes), 0)
    except xp.cuda.runtime.CUDARuntimeError as error:
        message = (
            f"{size_text(num_bytes)} of host memory cannot be page-locked for the copies from and "
            f"to the GPU ({reason(error)}); take fewer ranks for each node, a smaller model, or "
            "device.kind=cpu"
        )
        raise UserError(message) from error
    vector = np.frombuffer(memory, dtype, size)
    vector.fill(0)
    return vector
