"""Softmax cross-entropy on a device: loss and gradient in one launch, correct rows in another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, array_module
from mpitrain.kernels.cross_entropy_source import (
    COUNT_CORRECT,
    CROSS_ENTROPY,
    cross_entropy_source,
    teams_for,
)
from mpitrain.kernels.cuda_source import OPTIONS
from mpitrain.kernels.ordered_sum import MOST_BLOCKS
from mpitrain.kernels.walk import PACK_BYTES


class DeviceCrossEntropy:
    """The loss of class scores on the current device and stream.

    Compiling takes a fraction of a second once per machine: CuPy keeps the result on disk. A call
    allocates nothing and waits for nothing. All calls must be on one stream.

    Sums are made in an order that depends on the shape, on where the arrays start and on nothing
    else. Powers and logarithms are CUDA's, which may differ from NumPy's in their last bit, and
    float32 numbers nearer to 0 than 1.2e-38 count as 0, which CuPy asks of its compiler.
    """

    def __init__(self, num_classes: int, dtype: npt.DTypeLike) -> None:
        """Prepare for scores of ``num_classes`` classes, of ``dtype``, float32 or float64."""
        xp = array_module("cuda")
        self._num_classes = num_classes
        self._dtype = np.dtype(dtype)
        self._teams = teams_for(num_classes)
        module = xp.RawModule(code=cross_entropy_source(dtype, self._teams), options=OPTIONS)
        self._cross_entropy: Any = module.get_function(CROSS_ENTROPY)
        self._count_correct: Any = module.get_function(COUNT_CORRECT)
        self._sums = (xp.empty(MOST_BLOCKS, np.float64), xp.zeros(1, np.uint32))

    def loss_and_gradient_into(
        self, logits: Array, labels: Array, out_gradient: Array, out_loss: Array
    ) -> None:
        """Write the summed loss and its gradient with respect to the scores.

        The largest score of each row is taken off first; the loss of a row is a sum of two terms
        >= 0, computed in the type of the scores, and rows are added as float64.

        Args:
            logits: (n, C), contiguous, device, unchanged unless it is ``out_gradient``; n >= 1.
            labels: (n,), int64, contiguous, device, 0 <= label < C, unchanged.
            out_gradient: (n, C), contiguous, device, overwritten; ``logits`` or apart from it.
            out_loss: (1,), float64, device, overwritten.

        Raises:
            ValueError: an array has another type or shape, or gaps.

        Source: Bishop 2006, section 4.3.4.
        """
        self._check(logits, labels, out_loss)
        check_array("out_gradient", out_gradient, self._dtype, logits.shape)
        self._launch(self._cross_entropy, logits, labels, (out_gradient,), out_loss)

    def count_correct_into(self, logits: Array, labels: Array, out_count: Array) -> None:
        """Write how many rows have their largest score at the label; ties go to the first class.

        Args:
            logits: (n, C), contiguous, device, unchanged; n >= 1. NaN is largest.
            labels: (n,), int64, contiguous, device, 0 <= label < C, unchanged.
            out_count: (1,), float64, device, overwritten.

        Raises:
            ValueError: an array has another type or shape, or gaps.
        """
        self._check(logits, labels, out_count)
        self._launch(self._count_correct, logits, labels, (), out_count)

    def _check(self, logits: Array, labels: Array, out: Array) -> None:
        num_rows = len(logits)
        check_array("logits", logits, self._dtype, (num_rows, self._num_classes))
        check_array("labels", labels, np.dtype(np.int64), (num_rows,))
        check_array("the result", out, np.dtype(np.float64), (1,))

    def _launch(
        self, kernel: Any, logits: Array, labels: Array, outputs: tuple[Array, ...], out: Array
    ) -> None:
        addresses = [array.data.ptr for array in (logits, *outputs)]
        numbers = (np.int64(len(logits)), np.int64(self._num_classes), np.int32(packed(*addresses)))
        arguments = (logits, labels, *outputs, *numbers, *self._sums, out)
        blocks = self._teams.num_blocks(len(logits))
        kernel((blocks,), (self._teams.threads,), arguments)


def packed(*addresses: int) -> bool:
    """Tell whether rows may be moved 16 bytes at a time: all arrays start at such a multiple."""
    return not any(address % PACK_BYTES for address in addresses)


def check_array(name: str, array: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse what a kernel would misread without a word.

    Raises:
        ValueError: type or shape differ, or it is not contiguous.
    """
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        msg = (
            f"{name} must be contiguous, {dtype} {shape}; "
            f"got {array.dtype} {array.shape}, contiguous: {bool(array.flags.c_contiguous)}"
        )
        raise ValueError(msg)


def gradient_bytes(num_rows: int, num_classes: int, dtype: npt.DTypeLike) -> int:
    """Return how many bytes ``loss_and_gradient_into`` must move: scores in, labels, gradient out.

    Rows are read three times, the later times from caches as long as the rows at work fit there.
    """
    return num_rows * (2 * num_classes * np.dtype(dtype).itemsize + 8)


def count_bytes(num_rows: int, num_classes: int, dtype: npt.DTypeLike) -> int:
    """Return how many bytes ``count_correct_into`` must move: scores and labels in."""
    return num_rows * (num_classes * np.dtype(dtype).itemsize + 8)
