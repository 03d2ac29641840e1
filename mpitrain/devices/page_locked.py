"""Host memory whose pages stay in place, so that a device can copy while the host goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import reason


def page_locked(xp: Any, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a page-locked vector of zeros.

    Its memory goes back to CuPy's pool with the last array that looks at it, so a vector must be
    kept until no copy touches it any more.

    Args:
        xp: CuPy.
        size: elements, n >= 0.
        dtype: of an element.

    Returns:
        (n,), ``dtype``, host.

    Raises:
        CUDARuntimeError: the system locks no more memory (CuPy's own error).
    """
    dtype = np.dtype(dtype)
    memory = xp.cuda.alloc_pinned_memory(max(size * dtype.itemsize, 1))
    vector = np.frombuffer(memory, dtype, size)  # the memory may be longer
    vector.fill(0)
    return vector


class PageLock:
    """Locks the pages of memory that others allocated, MPI for example.

    Copies work without it too, but the host waits for each of them.

    Attributes:
        problem: why the pages are not locked, in one line; empty when they are.
    """

    def __init__(self, xp: Any, array: npt.NDArray[Any]) -> None:
        """Lock the pages of ``array``, if the system allows it.

        Args:
            xp: CuPy.
            array: any shape and dtype, contiguous, host, unchanged; kept until ``close``.
        """
        self.problem = ""
        self._runtime = xp.cuda.runtime
        self._array: npt.NDArray[Any] | None = None
        if array.nbytes == 0:  # CUDA refuses that
            return
        try:
            self._runtime.hostRegister(array.ctypes.data, array.nbytes, 0)
        except self._runtime.CUDARuntimeError as error:
            self.problem = reason(error)
        else:
            self._array = array

    def close(self) -> None:
        """Unlock the pages, before their memory is freed; a second call does nothing.

        No copy may touch them any more: close what copies first.
        """
        if self._array is not None:
            self._runtime.hostUnregister(self._array.ctypes.data)
            self._array = None
