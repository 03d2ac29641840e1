"""Norms, the same bits wherever they are computed."""

from __future__ import annotations

import math

import numpy as np

from mpitrain.core.arrays import Array, module_of

# A dot product of this many elements runs on one BLAS thread whatever the library is told, so the
# sum does not depend on the number of threads; and float32 rounding does not grow with the vector.
_BLOCK = 4096
_GROUP = 64  # blocks in one call


def sum_of_squares(x: Array, start: float = 0.0) -> float:
    """Return the sum of the squared elements.

    Blocks of fixed length are summed in the dtype of ``x``, their sums in float64, in order.

    Args:
        x: (n,), contiguous, host, unchanged.
        start: what they are added to, for example the sum of what comes before ``x``.
    """
    total, num_whole = start, len(x) - len(x) % _BLOCK
    for begin in range(0, num_whole, _GROUP * _BLOCK):
        rows = x[begin : min(begin + _GROUP * _BLOCK, num_whole)].reshape(-1, _BLOCK)
        for square in np.vecdot(rows, rows).tolist():  # sum() rounds as Python's version pleases
            total += square
    rest = x[num_whole:]
    return total + float(np.dot(rest, rest))


def is_finite(norm: float, x: Array) -> bool:
    """Tell whether all elements are finite; looks at them only where their norm is not.

    Args:
        norm: of ``x``, which may overflow where no element does.
        x: (n,), host or device, unchanged.
    """
    return math.isfinite(norm) or bool(module_of(x).isfinite(x).all())


def clip_factor(norm: float, limit: float | None) -> float:
    """Return what to multiply a gradient by so that its norm is at most ``limit``.

    Args:
        norm: Euclidean norm of the gradient; infinity or NaN is not hidden.
        limit: largest norm allowed, > 0; None allows any.

    Source: Pascanu, Mikolov, Bengio 2013, algorithm 1.
    """
    if limit is None or norm <= limit:
        return 1.0
    return limit / norm
