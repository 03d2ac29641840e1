"""Casts between float32 and the two kinds of 16-bit floating-point numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpitrain.core.arrays import Array
from mpitrain.core.errors import unknown
from mpitrain.kernels.cast_device import DeviceCast
from mpitrain.kernels.cast_host import HostCast

# NumPy has no bfloat16: its bits are kept, which are the upper half of a float32's
NARROW_TYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}
WIDE_TYPE = np.dtype(np.float32)


class Cast:
    """Casts of contiguous vectors, which may start anywhere; the same bits on host and device.

    A number is rounded to the nearest, ties to even; subnormal numbers and signed zeros are kept,
    and what is too large becomes infinity. Every NaN becomes the positive quiet one without a
    payload: 0x7e00 (float16), 0x7fc0 (bfloat16), 0x7fc00000 (float32).
    """

    def __init__(self, kind: str, xp: Any) -> None:
        """Prepare for vectors in one place.

        Args:
            kind: of the narrow numbers, "float16" or "bfloat16".
            xp: array module of all vectors.

        Raises:
            UserError: the kind is unknown.
        """
        if kind not in NARROW_TYPES:
            raise unknown("narrow type", kind, NARROW_TYPES)  # noqa: EM101  # not a message
        self._narrow_type = NARROW_TYPES[kind]
        self._twin = HostCast(kind) if xp is np else DeviceCast(kind)

    def narrow_into(self, values: Array, out: Array, scale: float = 1.0) -> None:
        """Write ``values * scale`` in 16 bits.

        Args:
            values: (m,), float32, unchanged.
            out: (m,), float16 or (bfloat16) uint16, overwritten; apart from ``values``.
            scale: rounded to float32, as is the product before it is cast.

        Raises:
            ValueError: a vector has another type or length, or gaps.
        """
        check_vector("values", values, WIDE_TYPE, values.shape)
        check_vector("out", out, self._narrow_type, values.shape)
        self._twin.narrow_into(values, out, scale)

    def widen_into(self, values: Array, out: Array, scale: float = 1.0) -> None:
        """Write ``values * scale`` as float32; see narrow_into.

        Args:
            values: (m,), float16 or (bfloat16) uint16, unchanged.
            out: (m,), float32, overwritten; apart from ``values``.
            scale: rounded to float32.

        Raises:
            ValueError: a vector has another type or length, or gaps.
        """
        check_vector("values", values, self._narrow_type, values.shape)
        check_vector("out", out, WIDE_TYPE, values.shape)
        self._twin.widen_into(values, out, scale)


def check_vector(name: str, vector: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse what a kernel would misread without a word.

    Raises:
        ValueError: type or shape differ, or it is no contiguous vector.
    """
    fits = vector.dtype == dtype and vector.shape == shape and vector.ndim == 1
    if not fits or not vector.flags.c_contiguous:
        msg = (
            f"{name} must be a contiguous {dtype} vector, as long as the other one; "
            f"got {vector.dtype} {vector.shape}"
        )
        raise ValueError(msg)


def cast_bytes(num: int) -> int:
    """Return how many bytes a cast of ``num`` elements must move, in either direction."""
    return num * (4 + 2)
