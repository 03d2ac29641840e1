"""The digest that names a data set: SHA-256 over its arrays, whatever container holds them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_PIECE_BYTES = 1 << 24


class Digest:
    """SHA-256 that is fed array by array, rows in order.

    Each array puts one line before its bytes, ``name dtype shape``; bytes are little-endian in
    C order. So equal digests mean equal arrays under equal names, read from any container.

    Args:
        divisor: the scaling, part of what a model sees.
    """

    def __init__(self, divisor: float) -> None:
        """Start with the scaling."""
        self._hash = hashlib.sha256(f"divisor {divisor!r}\n".encode())

    def start(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Begin an array; its rows follow in calls of ``add``."""
        text = "x".join(str(length) for length in shape)
        self._hash.update(f"{name} {dtype.newbyteorder('<').str} {text}\n".encode())

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Add the next rows of the present array, (k, ...), not changed."""
        little = rows.dtype.newbyteorder("<")
        self._hash.update(np.ascontiguousarray(rows, dtype=little).view(np.uint8).data)

    def hexadecimal(self) -> str:
        """Return the digest of all that was added."""
        return self._hash.hexdigest()


def digest_arrays(arrays: Mapping[str, npt.NDArray[Any]], divisor: float) -> str:
    """Return the digest of arrays in memory, hexadecimal.

    Args:
        arrays: by name, in order; at least one dimension each, not changed.
        divisor: the scaling.
    """
    digest = Digest(divisor)
    for name, array in arrays.items():
        digest.start(name, array.shape, array.dtype)
        step = max(1, _PIECE_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            digest.add(array[start : start + step])
    return digest.hexadecimal()
