"""Synthetic samples: Gaussian clusters around one centre per class, drawn from a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.core.seeds import generator
from mpitrain.data.source import ArraySource

_ROWS = 1024

_Samples = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


class SyntheticSource(ArraySource):
    """Clusters that softmax regression learns, as many and as large as wanted, held in memory.

    Samples are drawn in blocks of 1,024 rows, each from a random stream of its own named by
    (seed, train or test, block number): sample i is the same whatever ``num_samples`` is, on every
    rank, and no test sample is a training sample. Memory: 4 bytes per feature and sample.

    Args:
        seed: of centres and samples.
        num_samples: training samples.
        num_test: test samples; may be 0.
        num_features: length of a sample.
        num_classes: classes, drawn with equal probability.
        noise: standard deviation of each feature about its class centre; the centres lie on a
            sphere of radius 1, some 1.4 apart. 0.2 is all but separable, 0.5 is hard.

    Raises:
        UserError: a number is out of range; names it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        num_samples: int = 10_000,
        num_test: int = 2_000,
        num_features: int = 64,
        num_classes: int = 10,
        noise: float = 0.3,
    ) -> None:
        """Draw all samples."""
        _check_at_least(1, num_samples=num_samples, num_features=num_features)
        _check_at_least(0, num_test=num_test, noise=noise)
        _check_at_least(2, num_classes=num_classes)
        centres = _draw_centres(seed, num_classes, num_features)
        super().__init__(
            *_draw(seed, "train", num_samples, centres, noise),
            *_draw(seed, "test", num_test, centres, noise),
            num_classes=num_classes,
            what="data.source 'synthetic'",
        )


def _check_at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if not least <= value < float("inf"):
            msg = f"data.{name} must be >= {least}, got {value}"
            raise UserError(msg)


def _draw_centres(seed: int, num_classes: int, num_features: int) -> npt.NDArray[np.float32]:
    rng = generator(seed, "synthetic", "centres")
    directions = rng.standard_normal((num_classes, num_features))
    lengths = np.sqrt(np.sum(directions * directions, axis=1, keepdims=True))
    directions /= lengths
    return directions.astype(np.float32)


def _draw(
    seed: int, part: str, count: int, centres: npt.NDArray[np.float32], noise: float
) -> _Samples:
    """Draw the first ``count`` samples of a part; whole blocks, so that the prefix is stable."""
    num_classes, num_features = centres.shape
    x = np.empty((count, num_features), np.float32)
    y = np.empty(count, np.int64)
    for start in range(0, count, _ROWS):
        rng = generator(seed, "synthetic", part, start // _ROWS)
        labels = rng.integers(num_classes, size=_ROWS)
        rows = rng.standard_normal((_ROWS, num_features), dtype=np.float32)
        rows *= np.float32(noise)
        rows += centres[labels]
        kept = min(_ROWS, count - start)
        x[start : start + kept] = rows[:kept]
        y[start : start + kept] = labels[:kept]
    return x, y
