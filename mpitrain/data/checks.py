"""Checks that every source makes of its features and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.core.errors import UserError

if TYPE_CHECKING:
    import numpy.typing as npt


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
