"""Gradient coherence where the gradients are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.core.batch import Batch
from mpitrain.core.layout import Layout
from mpitrain.data.source import ArraySource
from mpitrain.running.coherence import Coherence, mu_of

CURVATURES = np.array([1.0, 2.0, 8.0])


class Quadratic:
    """Loss of a sample x at w: sum of a (w - x)^2 / 2; gradient of the mean: a (w - mean x)."""

    metric_name = "loss"
    layout = Layout(("w",), ((3,),), "float64")

    def init(self, seed: int) -> npt.NDArray[Any]:
        """Return zeros."""
        return np.zeros(3)

    def loss_and_gradient(
        self, parameters: Mapping[str, Any], batch: Batch, out: Mapping[str, Any]
    ) -> float:
        """See Model."""
        away = parameters["w"] - batch.x
        out["w"][:] = CURVATURES * away.sum(axis=0)
        return float((CURVATURES * away**2).sum() / 2)

    def evaluate(self, parameters: Mapping[str, Any], batch: Batch) -> dict[str, float]:
        """See Model."""
        return {"loss": 0.0}


class At:
    """A mode that stands where it is put."""

    steps_done = 0
    clock = 0

    def __init__(self) -> None:
        self.w = np.zeros(3)

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """See Mode."""
        out[:] = self.w


def test_coherence_on_a_quadratic_is_exact() -> None:
    """The sample's mean is 0 and all numbers are small powers of two: no rounding at all."""
    x = np.repeat([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], 2048, axis=0)  # several pieces
    source = ArraySource(x, np.zeros(4096, np.int64), x[:1], np.zeros(1, np.int64))
    mode = At()
    coherence = Coherence(
        mode, Quadratic(), source, samples=np.arange(4096), num_lags=2, num_shards=1
    )
    found = []
    for mode.w in ([1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.5]):
        found.append(coherence.outcome())
        mode.steps_done += 10
    # gradients: (1, 0, 0), (2, 0, 0), (-1, 2, 0), (0, 0, 4)
    assert [outcome["steps"] for outcome in found] == [0, 10, 20, 30]
    assert [outcome["mu"] for outcome in found] == [1.0, 2 / 4, -2 / 5, 0.0]
    assert [outcome["norm"] ** 2 for outcome in found] == pytest.approx([1, 4, 5, 16], rel=1e-15)
    assert found[0]["cosines"] == []
    assert found[1]["cosines"] == [1.0]
    assert found[2]["cosines"] == pytest.approx([-1 / 5**0.5, -1 / 5**0.5], rel=1e-15)
    assert found[3]["cosines"] == [0.0, 0.0]  # the oldest of three is forgotten


def test_mu_of_no_gradient_is_one() -> None:
    """At a minimum there is nothing to disagree with."""
    assert mu_of([0.0, 0.0], 0.0) == 1.0
    assert mu_of([], 3.0) == 1.0
    assert np.isnan(mu_of([float("nan")], 2.0))  # of a run that diverges
    assert mu_of([100.0], 4.0) == 1.0  # a longer one in the same direction does not count for more
