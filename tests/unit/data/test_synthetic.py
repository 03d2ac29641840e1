"""Synthetic clusters."""

from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.data.synthetic import SyntheticSource


def whole(source: SyntheticSource, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Gather all training samples."""
    x = np.empty((source.num_samples, *source.sample_shape), dtype)
    y = np.empty(source.num_samples, np.int64)
    source.gather_into(np.arange(source.num_samples), x, y)
    return x, y


def test_sample_depends_on_seed_and_index_only() -> None:
    """A larger set begins with the smaller one; another seed is another set."""
    small = SyntheticSource(seed=4, num_samples=100, num_test=10)
    large = SyntheticSource(seed=4, num_samples=3000, num_test=1500)
    other = SyntheticSource(seed=5, num_samples=100, num_test=10)
    x, y = whole(small)
    np.testing.assert_array_equal(x, whole(large)[0][:100])
    np.testing.assert_array_equal(y, whole(large)[1][:100])
    np.testing.assert_array_equal(
        next(small.test_slices(np.float32)).x, next(large.test_slices(np.float32)).x[:10]
    )
    assert not np.array_equal(x, whole(other)[0])
    assert small.digest != other.digest


def test_no_sample_occurs_twice_within_or_between_training_and_test() -> None:
    """All samples are distinct: training and test draw from streams of their own."""
    source = SyntheticSource(num_samples=3000, num_test=2000, num_features=8)
    rows = [row.tobytes() for row in whole(source)[0]]
    rows += [row.tobytes() for batch in source.test_slices(np.float32) for row in batch.x]
    assert len(set(rows)) == 5000


def test_samples_are_clusters_about_unit_centres_with_the_noise_asked_for() -> None:
    """Class means have length 1, features scatter by ``noise``, classes are equally likely."""
    source = SyntheticSource(num_samples=20_000, num_features=32, num_classes=4, noise=0.25)
    x, y = whole(source, np.float64)
    assert source.sample_shape == (32,)
    np.testing.assert_allclose(np.bincount(y), 5000, rtol=0.06)
    for label in range(4):
        members = x[y == label]
        assert abs(np.linalg.norm(members.mean(axis=0)) - 1) < 0.02
        np.testing.assert_allclose(members.std(axis=0), 0.25, rtol=0.06)


def test_softmax_regression_learns_the_clusters() -> None:
    """A few full-batch gradient steps on a linear model classify unseen samples."""
    source = SyntheticSource(num_samples=2000, num_test=1000, noise=0.2)
    x, y = whole(source, np.float64)
    weights = np.zeros((64, 10))
    for _ in range(60):
        odds = np.exp(x @ weights)
        odds /= odds.sum(axis=1, keepdims=True)
        odds[np.arange(2000), y] -= 1
        weights -= 5 * (x.T @ odds) / 2000
    (test,) = source.test_slices(np.float64)
    assert np.mean(np.argmax(test.x @ weights, axis=1) == test.y) > 0.97


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, r"data\.num_samples must be >= 1, got 0"),
        ({"num_features": -3}, r"data\.num_features must be >= 1, got -3"),
        ({"num_test": -1}, r"data\.num_test must be >= 0, got -1"),
        ({"num_classes": 1}, r"data\.num_classes must be >= 2, got 1"),
        ({"noise": -0.5}, r"data\.noise must be >= 0, got -0\.5"),
        ({"noise": float("nan")}, r"data\.noise must be >= 0, got nan"),
    ],
)
def test_impossible_setting_is_named(settings: dict[str, float], message: str) -> None:
    """Numbers out of range are refused with their name and value."""
    with pytest.raises(UserError, match=message):
        SyntheticSource(**settings)


def test_test_set_may_be_empty() -> None:
    """Without test samples there are no test slices."""
    assert list(SyntheticSource(num_test=0).test_slices(np.float32)) == []
