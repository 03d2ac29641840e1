"""The host's twin of the casts: NumPy, block by block, so that all passes but one are in cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mpitrain.core.arrays import Array

BLOCK = 1 << 16  # elements; measured: with half of it the calls themselves begin to count

_NAN = {"float16": 0x7E00, "bfloat16": 0x7FC0}


class HostCast:
    """Casts on the host; see Cast. Allocates nothing that grows with the vectors."""

    def __init__(self, kind: str) -> None:
        self._nan = np.uint16(_NAN[kind])
        self._narrow, self._widen = _STEPS[kind]
        self._scaled = np.empty(BLOCK, np.float32)
        self._bits = np.empty(BLOCK, np.uint32)
        self._is_nan = np.empty(BLOCK, np.bool_)

    def narrow_into(self, values: Array, out: Array, scale: float) -> None:
        """Round to 16 bits; see Cast."""
        with np.errstate(all="ignore"):
            for part in _blocks(len(values)):
                block, target = values[part], out[part]
                num = len(block)
                if scale != 1.0:
                    block = np.multiply(block, np.float32(scale), out=self._scaled[:num])
                self._narrow(block, target, self._bits[:num])
                self._replace_nan(block, target.view(np.uint16), self._nan)

    def widen_into(self, values: Array, out: Array, scale: float) -> None:
        """Return to float32; see Cast."""
        with np.errstate(all="ignore"):
            for part in _blocks(len(values)):
                target = out[part]
                self._widen(values[part], target)
                if scale != 1.0:
                    np.multiply(target, np.float32(scale), out=target)
                self._replace_nan(target, target, np.float32(np.nan))

    def _replace_nan(self, block: Array, target: Array, nan: Any) -> None:
        """Write the one NaN wherever ``block`` has any."""
        is_nan = np.isnan(block, out=self._is_nan[: len(block)])
        if is_nan.any():
            np.putmask(target, is_nan, nan)


def _blocks(num: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, num, BLOCK))


def _narrow_float16(block: Array, target: Array, _: Array) -> None:
    target[...] = block


def _narrow_bfloat16(block: Array, target: Array, rounded: Array) -> None:
    """Add half of what is cut off, less a bit where that keeps the last bit even; then cut."""
    bits = block.view(np.uint32)
    np.right_shift(bits, 16, out=rounded)
    np.bitwise_and(rounded, 1, out=rounded)
    np.add(rounded, 0x7FFF, out=rounded)
    np.add(rounded, bits, out=rounded)
    np.right_shift(rounded, 16, out=rounded)
    np.copyto(target, rounded, casting="unsafe")


def _widen_float16(block: Array, target: Array) -> None:
    target[...] = block


def _widen_bfloat16(block: Array, target: Array) -> None:
    bits = target.view(np.uint32)
    bits[...] = block
    np.left_shift(bits, 16, out=bits)


_STEPS: dict[str, tuple[Callable[[Array, Array, Array], None], Callable[[Array, Array], None]]] = {
    "float16": (_narrow_float16, _widen_float16),
    "bfloat16": (_narrow_bfloat16, _widen_bfloat16),
}
