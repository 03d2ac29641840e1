"""Arithmetic on the parameters of checkpoints: how large they are and how far two are apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BLOCK = 1 << 20  # elements that are turned into float64 together


@dataclass(frozen=True)
class Size:
    """One parameter.

    Attributes:
        name: of the parameter.
        shape: of the array.
        dtype: of its elements.
        norm: Euclidean, in float64.
        least: smallest element; NaN when there is none.
        largest: largest element; NaN when there is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float
    least: float
    largest: float


@dataclass(frozen=True)
class Change:
    """One parameter in two checkpoints.

    Attributes:
        name: of the parameter.
        before_shape: in the first; None where it is not there.
        after_shape: in the second; None where it is not there.
        is_equal: every bit is the same, and so are shape and dtype.
        before_norm: Euclidean norm in the first.
        after_norm: Euclidean norm in the second.
        change_norm: Euclidean norm of the difference; like the next two NaN where the shapes
            differ.
        largest_change: of an element, absolute.
        cosine: of the angle between the two; NaN where one is zero.
    """

    name: str
    before_shape: tuple[int, ...] | None
    after_shape: tuple[int, ...] | None
    is_equal: bool
    before_norm: float
    after_norm: float
    change_norm: float
    largest_change: float
    cosine: float


def sizes_of(parameters: Mapping[str, Array]) -> list[Size]:
    """Return how large each parameter is, in the order given."""
    return [_size(name, array) for name, array in parameters.items()]


def changes_between(before: Mapping[str, Array], after: Mapping[str, Array]) -> list[Change]:
    """Return what changed of each parameter: those of ``before`` in order, then new ones."""
    names = [*before, *(name for name in after if name not in before)]
    return [_change(name, before.get(name), after.get(name)) for name in names]


def _size(name: str, array: Array) -> Size:
    least, largest = (float(array.min()), float(array.max())) if array.size else (math.nan,) * 2
    return Size(name, array.shape, str(array.dtype), _norm(array), least, largest)


def _change(name: str, before: Array | None, after: Array | None) -> Change:
    old_norm, new_norm = (math.nan if one is None else _norm(one) for one in (before, after))
    old_shape, new_shape = (None if one is None else one.shape for one in (before, after))
    is_equal, distance = False, (math.nan, math.nan, math.nan)
    if before is not None and after is not None and before.shape == after.shape:
        is_equal = before.dtype == after.dtype and _is_same(before, after)
        distance = _distance(before, after, old_norm * new_norm)
    return Change(name, old_shape, new_shape, is_equal, old_norm, new_norm, *distance)


def _distance(before: Array, after: Array, lengths: float) -> tuple[float, float, float]:
    """Return norm and largest element of the difference, and the cosine of the angle."""
    squares = product = largest = 0.0
    for old, new in zip(_blocks(before), _blocks(after), strict=True):
        difference = new - old
        squares += float(difference @ difference)
        product += float(old @ new)
        largest = max(largest, float(np.abs(difference).max(initial=0.0)))
    cosine = max(-1.0, min(1.0, product / lengths)) if lengths else math.nan
    return math.sqrt(squares), largest, cosine


def _is_same(before: Array, after: Array) -> bool:
    """Tell whether all bits are the same, also those of NaN; the dtypes are equal."""
    pairs = zip(_slices(before), _slices(after), strict=True)
    return all(old.tobytes() == new.tobytes() for old, new in pairs)


def _norm(array: Array) -> float:
    return math.sqrt(sum(float(block @ block) for block in _blocks(array)))


def _blocks(array: Array) -> Iterator[npt.NDArray[np.float64]]:
    return (piece.astype(np.float64) for piece in _slices(array))


def _slices(array: Array) -> Iterator[Array]:
    flat = array.reshape(-1)
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))
