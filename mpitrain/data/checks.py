"""Checks that every source makes of its features and labels, and whether it is a source at all."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.core.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt

_METHODS = ("gather_into", "prefetch", "test_slices", "close")
_LEAST = {"num_samples": 1, "num_test": 0, "num_classes": 1, "block": 1}


def check_is_source(source: Any, what: str) -> None:
    """Check that an object of the user's offers what ``data.source.Source`` says.

    Args:
        source: any object.
        what: named first in the error message, for example "data.source = 'mine:make'".

    Raises:
        UserError: it does not; names what is missing or wrong.
    """
    kind = type(source).__name__
    missing = [f"{name}()" for name in _METHODS if not callable(getattr(source, name, None))]
    missing += [name for name in (*_LEAST, "sample_shape", "digest") if not _has(source, name)]
    if missing:
        msg = f"{what} must be a source of samples, got {kind} without {', '.join(missing)}; "
        raise UserError(msg + "see mpitrain.data.source")
    for name, least in _LEAST.items():
        value = getattr(source, name)
        if not isinstance(value, int | np.integer) or value < least:
            msg = f"{what}: {name} must be an integer >= {least}, got {value!r}"
            raise UserError(msg)
    shape = source.sample_shape
    if not isinstance(shape, tuple) or not all(isinstance(n, int | np.integer) for n in shape):
        msg = f"{what}: sample_shape must be a tuple of integers, got {shape!r}"
        raise UserError(msg)


def _has(source: Any, name: str) -> bool:
    """Tell whether there is such an attribute, without computing it."""
    return inspect.getattr_static(source, name, None) is not None


def check_types(what: str, part: str, x: np.dtype[Any], y: np.dtype[Any]) -> None:
    """Check that features are real numbers and labels integers.

    Args:
        what: named first in error messages.
        part: "train" or "test".
        x: type of the features.
        y: type of the labels.

    Raises:
        UserError: they are something else.
    """
    if x.kind not in "biuf":
        msg = f"{what}: {part} features must be real numbers, got {x}"
        raise UserError(msg)
    if y.kind not in "iu":
        msg = f"{what}: {part} labels must be integers, got {y}"
        raise UserError(msg)


def check_shapes(what: str, part: str, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Check the shapes of features (N, ...) and labels (N,).

    Args:
        what: named first in error messages.
        part: "train", which needs at least one sample, or "test".
        x: shape of the features.
        y: shape of the labels.

    Raises:
        UserError: they don't fit.
    """
    if len(x) < 2 or len(y) != 1 or x[0] != y[0]:
        msg = f"{what}: {part} features must have shape (N, ...) and labels (N,), got {x} and {y}"
        raise UserError(msg)
    if 0 in x[1:] or (part == "train" and x[0] == 0):
        msg = f"{what}: {part} features must not be empty, got shape {x}"
        raise UserError(msg)


def checked_num_classes(what: str, num_classes: int | None, **labels: npt.NDArray[np.int64]) -> int:
    """Return the number of classes, having checked that every label is in range.

    Args:
        what: named first in error messages.
        num_classes: ``None`` takes the largest label + 1.
        labels: by part, (N,), int64 each, not changed.

    Raises:
        UserError: a label is negative or too large; names the first one.
    """
    found = max(int(y.max(initial=-1)) for y in labels.values()) + 1
    limit = found if num_classes is None else num_classes
    for part, y in labels.items():
        if y.size and (int(y.min()) < 0 or int(y.max()) >= limit):
            first = int(np.argmax((y < 0) | (y >= limit)))
            upper = f"in [0, {limit})" if num_classes is not None else ">= 0"
            msg = f"{what}: {part} labels must be {upper}, got {int(y[first])} at sample {first}"
            raise UserError(msg)
    return limit
