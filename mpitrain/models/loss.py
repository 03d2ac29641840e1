"""Softmax cross-entropy, its gradient, and how many samples were classified correctly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, array_module, module_of
from mpitrain.kernels.cross_entropy import DeviceCrossEntropy
from mpitrain.models.workspace import Workspace


class SoftmaxCrossEntropy:
    """The loss of class scores; keeps its work arrays, so that a step allocates nothing.

    On a device the scores are read and their gradient written by one kernel, and only its sum is
    waited for.
    """

    def __init__(self, num_classes: int, dtype: npt.DTypeLike) -> None:
        """Prepare for scores of ``num_classes`` classes, of ``dtype``."""
        self._num_classes = num_classes
        self._dtype = dtype
        self._floats = Workspace((1, 1), dtype)
        self._indices = Workspace((1,), np.int64)
        self._row_starts = np.empty((0, 1), np.int64)
        self._on_device: tuple[DeviceCrossEntropy, Array] | None = None

    def loss_and_gradient(self, logits: Array, labels: Array, out_gradient: Array) -> float:
        """Return the summed loss and write its gradient with respect to the scores.

        The largest score of each row is taken off first. Nothing overflows then, and the loss of a
        row is a sum of two terms >= 0, so small losses keep their digits.

        Args:
            logits: (n, C), float, host or device, unchanged unless it is ``out_gradient``.
            labels: (n,), int64, beside ``logits``, 0 <= label < C, unchanged.
            out_gradient: (n, C), like ``logits``, contiguous, overwritten; may be ``logits``.

        On a device all are contiguous.

        Source: Bishop 2006, section 4.3.4.
        """
        if module_of(logits) is np:
            return self._loss_and_gradient_on_host(logits, labels, out_gradient)
        kernels, result = self._kernels()
        kernels.loss_and_gradient_into(logits, labels, out_gradient, result)
        return float(result.item())

    def num_correct(self, logits: Array, labels: Array) -> float:
        """Return how many rows have their largest score at the label; ties go to the first class.

        Args:
            logits: (n, C), float, host or device, unchanged.
            labels: (n,), int64, beside ``logits``, unchanged.

        On a device both are contiguous.
        """
        if module_of(logits) is np:
            return float((logits.argmax(axis=1) == labels).sum())
        kernels, result = self._kernels()
        kernels.count_correct_into(logits, labels, result)
        return float(result.item())

    def _kernels(self) -> tuple[DeviceCrossEntropy, Array]:
        """Return the device's kernels and where they leave their sums: (1,), float64, device."""
        if self._on_device is None:
            kernels = DeviceCrossEntropy(self._num_classes, self._dtype)
            self._on_device = kernels, array_module("cuda").empty(1, np.float64)
        return self._on_device

    def _loss_and_gradient_on_host(
        self, logits: Array, labels: Array, out_gradient: Array
    ) -> float:
        column, picked = self._floats.rows(len(logits), logits)
        index = self._label_index(labels)
        flat = out_gradient.reshape(-1)

        np.max(logits, axis=1, keepdims=True, out=column)
        np.subtract(logits, column, out=out_gradient)
        _take_into(flat, index, picked)
        np.exp(out_gradient, out=out_gradient)
        np.sum(out_gradient, axis=1, keepdims=True, out=column)
        np.divide(out_gradient, column, out=out_gradient)
        np.log(column, out=column)
        loss = float(column.sum()) - float(picked.sum())

        _take_into(flat, index, picked)
        np.subtract(picked, 1, out=picked)
        flat[index.reshape(-1)] = picked.reshape(-1)
        return loss

    def _label_index(self, labels: Array) -> Array:
        """Return where the labels' scores lie in the flattened scores: (n, 1), int64."""
        num_rows = len(labels)
        (index,) = self._indices.rows(num_rows, labels)
        if len(self._row_starts) < num_rows:
            self._row_starts = np.arange(num_rows)[:, None] * self._num_classes
        return np.add(self._row_starts[:num_rows], labels[:, None], out=index)


def _take_into(flat: Array, index: Array, out: Array) -> None:
    """Write ``flat[index]`` into ``out``; the default mode would buffer ``out``."""
    np.take(flat, index, out=out, mode="clip")
