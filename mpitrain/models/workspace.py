"""Work arrays that are allocated once and reused by every later batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of


class Workspace:
    """Arrays with one row per sample; they grow to the largest batch and stay.

    A short batch gets the first rows of the same memory.
    """

    def __init__(self, widths: Sequence[int], dtype: npt.DTypeLike) -> None:
        """Remember what the arrays look like; the first batch allocates them.

        Args:
            widths: columns of each array, in the order of ``rows``.
            dtype: of every array.
        """
        self._widths = tuple(widths)
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._arrays: list[Array] = []

    def rows(self, num_rows: int, like: Array) -> list[Array]:
        """Return one array per width, contents undefined, valid until the next call.

        Args:
            num_rows: rows of each array.
            like: its module says whether the arrays lie on host or device.

        Returns:
            (num_rows, width) each, contiguous, views.
        """
        if not self._fits(num_rows, like):
            xp = module_of(like)
            self._arrays = [xp.empty((num_rows, width), self._dtype) for width in self._widths]
        return [array[:num_rows] for array in self._arrays]

    def _fits(self, num_rows: int, like: Array) -> bool:
        if not self._arrays:
            return False
        first = self._arrays[0]
        return len(first) >= num_rows and isinstance(like, type(first))
