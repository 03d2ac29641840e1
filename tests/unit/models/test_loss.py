from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.models.loss import SoftmaxCrossEntropy

PeakBytes = Callable[[Callable[[], object]], int]

NUMPY_BUFFER_BYTES = 70_000  # NumPy takes a fixed 64 KiB when it broadcasts, and some objects


def naive_loss(logits: list[list[float]], labels: list[int]) -> float:
    """Return the summed loss by its definition."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        total -= math.log(math.exp(row[label]) / sum(math.exp(score) for score in row))
    return total


def naive_gradient(logits: list[list[float]], labels: list[int]) -> list[list[float]]:
    """Return probabilities minus one-hot labels, by definition."""
    gradient = []
    for row, label in zip(logits, labels, strict=True):
        total = sum(math.exp(score) for score in row)
        gradient.append([math.exp(s) / total - (c == label) for c, s in enumerate(row)])
    return gradient


@pytest.mark.parametrize("num_rows", [1, 2, 13])
@pytest.mark.parametrize("num_classes", [1, 2, 10])
def test_loss_equals_the_definition(xp: Any, num_rows: int, num_classes: int) -> None:
    """Loss and gradient are those of the textbook formula."""
    random = np.random.default_rng(num_rows * 100 + num_classes)
    scores = random.standard_normal((num_rows, num_classes)) * 3
    classes = random.integers(0, num_classes, num_rows)
    logits, labels = xp.asarray(scores), xp.asarray(classes)
    gradient = xp.full_like(logits, np.nan)
    loss = SoftmaxCrossEntropy(num_classes, "float64").loss_and_gradient(logits, labels, gradient)
    assert loss == pytest.approx(naive_loss(scores.tolist(), classes.tolist()), rel=1e-12)
    expected = xp.asarray(naive_gradient(scores.tolist(), classes.tolist()))
    xp.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)
    xp.testing.assert_array_equal(logits, xp.asarray(scores))


def test_loss_may_write_its_gradient_over_the_scores(xp: Any) -> None:
    """In place gives the same bits as into another array."""
    random = np.random.default_rng(3)
    logits = xp.asarray(random.standard_normal((6, 4)))
    labels = xp.asarray(random.integers(0, 4, 6))
    gradient = xp.empty_like(logits)
    loss = SoftmaxCrossEntropy(4, "float64")
    apart = loss.loss_and_gradient(logits, labels, gradient)
    in_place = loss.loss_and_gradient(logits, labels, logits)
    assert apart == in_place
    xp.testing.assert_array_equal(logits, gradient)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_is_finite_for_huge_scores(xp: Any, dtype: str) -> None:
    """Scores of any size neither overflow nor lose the answer."""
    logits = xp.asarray([[1e4, -1e4, 0.0], [1e30, 1e30, -1e30]], dtype)
    labels = xp.asarray([1, 0])
    gradient = xp.empty_like(logits)
    loss = SoftmaxCrossEntropy(3, dtype).loss_and_gradient(logits, labels, gradient)
    assert loss == pytest.approx(2e4 + math.log(2), rel=1e-6)
    expected = xp.asarray([[1.0, -1.0, 0.0], [-0.5, 0.5, 0.0]], dtype)
    xp.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_loss_keeps_its_digits_when_it_is_small() -> None:
    """A confident row among large scores has its small loss, not rounding noise."""
    logits = np.array([[108.0, 100.0]], "float32")
    gradient = np.empty_like(logits)
    loss = SoftmaxCrossEntropy(2, "float32").loss_and_gradient(logits, np.array([0]), gradient)
    assert loss == pytest.approx(math.log1p(math.exp(-8)), rel=1e-3)


def test_loss_of_a_short_batch_is_that_of_its_rows() -> None:
    """A short batch after a full one is not touched by what was there before."""
    random = np.random.default_rng(8)
    logits, labels = random.standard_normal((9, 5)), random.integers(0, 5, 9)
    used, fresh = SoftmaxCrossEntropy(5, "float64"), SoftmaxCrossEntropy(5, "float64")
    used.loss_and_gradient(logits, labels, np.empty((9, 5)))
    first, second = np.empty((4, 5)), np.empty((4, 5))
    loss = used.loss_and_gradient(logits[5:], labels[5:], first)
    assert loss == fresh.loss_and_gradient(logits[5:], labels[5:], second)
    np.testing.assert_array_equal(first, second)


def test_loss_allocates_nothing_after_the_first_batch(peak_bytes: PeakBytes) -> None:
    """Neither full nor short batches take memory that grows with the batch."""
    logits = np.random.default_rng(0).standard_normal((50_000, 10))
    labels = np.arange(50_000) % 10
    gradient = np.empty_like(logits)
    loss = SoftmaxCrossEntropy(10, "float64")
    loss.loss_and_gradient(logits, labels, gradient)
    assert peak_bytes(lambda: loss.loss_and_gradient(logits, labels, gradient)) < NUMPY_BUFFER_BYTES
    short = logits[:40_000], labels[:40_000], gradient[:40_000]
    assert peak_bytes(lambda: loss.loss_and_gradient(*short)) < NUMPY_BUFFER_BYTES


def test_num_correct_counts_the_largest_score(xp: Any) -> None:
    """A row counts when its label has the largest score; ties go to the first class."""
    logits = xp.asarray([[0.0, 2.0], [3.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    labels = xp.asarray([1, 1, 0, 1])
    assert SoftmaxCrossEntropy(2, "float64").num_correct(logits, labels) == 2.0
