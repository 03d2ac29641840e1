from __future__ import annotations

import math

import numpy as np
import pytest

from mpitrain.core.measures import clip_factor, sum_of_squares


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_003])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-6), ("float64", 1e-14)])
def test_sum_of_squares_is_accurate(size: int, dtype: str, rtol: float) -> None:
    """It agrees with exactly rounded addition, also in float32 and for long vectors."""
    x = np.random.default_rng(size).standard_normal(size).astype(dtype)
    expected = math.fsum(value * value for value in x.astype("float64").tolist())
    assert sum_of_squares(x) == pytest.approx(expected, rel=rtol)


def test_sum_of_squares_does_not_depend_on_the_place_in_memory() -> None:
    """The same values give the same bits wherever the vector starts."""
    values = np.random.default_rng(1).standard_normal(50_001).astype("float32")
    results = set()
    for shift in range(8):
        memory = np.zeros(values.size + shift, "float32")
        memory[shift:] = values
        results.add(sum_of_squares(memory[shift:]))
    assert len(results) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sum_of_squares_goes_on_from_what_came_before(dtype: str) -> None:
    """Part by part, at multiples of the block, gives the bits of the whole, on any Python."""
    x = np.random.default_rng(2).standard_normal(1_000_001).astype(dtype)
    total = 0.0
    for start in range(0, len(x), 5 * 4096):
        total = sum_of_squares(x[start : start + 5 * 4096], total)
    assert total == sum_of_squares(x)


def test_clip_factor_brings_the_norm_to_the_limit() -> None:
    """A long gradient is shortened to the limit, a short one left alone."""
    assert clip_factor(8.0, 2.0) == 0.25
    assert clip_factor(2.0, 2.0) == 1.0
    assert clip_factor(0.0, 2.0) == 1.0


def test_clip_factor_is_one_without_a_limit() -> None:
    """No limit means no clipping."""
    assert clip_factor(1e30, None) == 1.0


def test_clip_factor_does_not_hide_a_broken_gradient() -> None:
    """A norm that is no number gives a factor that is none."""
    assert math.isnan(clip_factor(math.nan, 1.0))
