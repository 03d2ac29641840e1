"""Norms and differences of parameters, against NumPy in one piece."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpitrain.analysis import parameters
from mpitrain.analysis.parameters import changes_between, sizes_of


@pytest.mark.parametrize("block", [3, 1 << 20])
def test_sizes_and_changes_are_numpys(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the blocks."""
    monkeypatch.setattr(parameters, "BLOCK", block)
    generator = np.random.default_rng(3)
    before = {"w": generator.standard_normal((4, 5)).astype("f4"), "b": np.zeros(3, "f4")}
    after = {"w": before["w"] + np.float32(0.25), "b": np.arange(3, dtype="f4")}
    size = sizes_of(before)[0]
    flat = before["w"].astype(float).ravel()
    assert (size.name, size.shape, size.dtype) == ("w", (4, 5), "float32")
    np.testing.assert_allclose([size.norm, size.least], [np.linalg.norm(flat), flat.min()])
    first, second = changes_between(before, after)
    new = after["w"].astype(float).ravel()
    cosine = flat @ new / np.linalg.norm(flat) / np.linalg.norm(new)
    np.testing.assert_allclose(
        [first.change_norm, first.largest_change, first.cosine],
        [np.linalg.norm(new - flat), np.abs(new - flat).max(), cosine],
    )
    assert math.isnan(second.cosine)
    assert second.largest_change == 2.0
    assert not first.is_equal


def test_what_only_one_has_is_told() -> None:
    """And what has another shape has no difference; equal bits are equal, NaN too."""
    nan = np.array([np.nan, 1.0])
    before = {"gone": np.ones(2), "other": np.ones((2, 3)), "same": nan, "none": np.empty(0)}
    after = {"other": np.ones((3, 2)), "same": nan.copy(), "none": np.empty(0), "new": np.ones(1)}
    found = {change.name: change for change in changes_between(before, after)}
    assert list(found) == ["gone", "other", "same", "none", "new"]
    assert (found["gone"].before_shape, found["gone"].after_shape) == ((2,), None)
    assert (found["new"].before_shape, found["new"].after_shape) == (None, (1,))
    assert math.isnan(found["other"].change_norm)
    assert [name for name, change in found.items() if change.is_equal] == ["same", "none"]
    assert math.isnan(sizes_of(before)[3].least)
