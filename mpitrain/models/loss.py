"""Softmax cross-entropy, its gradient, and how many samples were classified correctly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.models.workspace import Workspace


class SoftmaxCrossEntropy:
    """The loss of class scores; keeps its work arrays, so that a step allocates nothing."""

    def __init__(self, num_classes: int, dtype: npt.DTypeLike) -> None:
        """Prepare for scores of ``num_classes`` classes, of ``dtype``."""
        self._num_classes = num_classes
        self._floats = Workspace((1, 1), dtype)
        self._indices = Workspace((1,), np.int64)
        self._row_starts: Array = np.empty((0, 1), np.int64)

    def loss_and_gradient(self, logits: Array, labels: Array, out_gradient: Array) -> float:
        """Return the summed loss and write its gradient with respect to the scores.

        The largest score of each row is taken off first. Nothing overflows then, and the loss of a
        row is a sum of two terms >= 0, so small losses keep their digits.

        Args:
            logits: (n, C), float, host or device, unchanged unless it is ``out_gradient``.
            labels: (n,), int64, beside ``logits``, 0 <= label < C, unchanged.
            out_gradient: (n, C), like ``logits``, contiguous, overwritten; may be ``logits``.

        Source: Bishop 2006, section 4.3.4.
        """
        xp = module_of(logits)
        column, picked = self._floats.rows(len(logits), logits)
        index = self._label_index(labels)
        flat = out_gradient.reshape(-1)

        xp.max(logits, axis=1, keepdims=True, out=column)
        xp.subtract(logits, column, out=out_gradient)
        _take_into(flat, index, picked)
        xp.exp(out_gradient, out=out_gradient)
        xp.sum(out_gradient, axis=1, keepdims=True, out=column)
        xp.divide(out_gradient, column, out=out_gradient)
        xp.log(column, out=column)
        loss = float(column.sum()) - float(picked.sum())

        _take_into(flat, index, picked)
        xp.subtract(picked, 1, out=picked)
        flat[index.reshape(-1)] = picked.reshape(-1)
        return loss

    def _label_index(self, labels: Array) -> Array:
        """Return where the labels' scores lie in the flattened scores: (n, 1), int64."""
        xp = module_of(labels)
        num_rows = len(labels)
        (index,) = self._indices.rows(num_rows, labels)
        if len(self._row_starts) < num_rows or not isinstance(labels, type(self._row_starts)):
            self._row_starts = xp.arange(num_rows)[:, None] * self._num_classes
        return xp.add(self._row_starts[:num_rows], labels[:, None], out=index)


def num_correct(logits: Array, labels: Array) -> float:
    """Return how many rows have their largest score at the label; ties go to the first class.

    Args:
        logits: (n, C), float, host or device, unchanged.
        labels: (n,), int64, beside ``logits``, unchanged.
    """
    return float((logits.argmax(axis=1) == labels).sum())


def _take_into(flat: Array, index: Array, out: Array) -> None:
    """Write ``flat[index]`` into ``out``."""
    if module_of(flat) is np:
        np.take(flat, index, out=out, mode="clip")  # the default mode buffers ``out``
    else:
        flat.take(index, out=out)
