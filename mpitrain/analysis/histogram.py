"""How often each whole number occurs, exactly, whatever their number."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

DENSE = 65_536
"""Numbers below are counted in an array, larger ones one by one."""

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


class Histogram:
    """Counts of whole numbers >= 0; negative ones, which only a faulty log has, are left out."""

    def __init__(self) -> None:
        self._dense = np.zeros(16, np.int64)
        self._beyond: Counter[int] = Counter()

    def add(self, values: npt.NDArray[np.integer[Any]]) -> None:
        """Count numbers: any shape, not changed."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        if flat.min() < 0 or flat.max() >= DENSE:
            numbers, counts = np.unique(flat[flat >= DENSE], return_counts=True)
            self._beyond.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
            flat = flat[(flat >= 0) & (flat < DENSE)]
        self.add_counts(np.bincount(flat))

    def add_counts(self, counts: Counts) -> None:
        """Add counts of 0, 1, 2, ...: at most ``DENSE``."""
        if len(counts) > len(self._dense):
            self._dense = np.pad(self._dense, (0, len(counts) - len(self._dense)))
        self._dense[: len(counts)] += counts

    def merge(self, other: Histogram) -> None:
        """Add all counts of another one."""
        self.add_counts(other._dense)
        self._beyond.update(other._beyond)

    def items(self) -> list[tuple[int, int]]:
        """Return numbers that occur and how often, increasing."""
        there = np.flatnonzero(self._dense)
        dense = zip(there.tolist(), self._dense[there].tolist(), strict=True)
        return [*dense, *sorted(self._beyond.items())]

    def facts(self) -> dict[str, Any]:
        """Return count, mean, quantiles and the largest number; None where nothing was counted.

        A quantile q is the smallest number that at least a share q of all do not exceed.
        """
        items = self.items()
        numbers = np.array([number for number, _ in items], np.int64)
        counts = np.array([count for _, count in items], np.int64)
        total = int(counts.sum())
        if not total:
            return {"count": 0, "mean": None, **dict.fromkeys(QUANTILES), "max": None}
        reached = np.cumsum(counts)
        places = {name: np.searchsorted(reached, q * total) for name, q in QUANTILES.items()}
        return {
            "count": total,
            "mean": float(numbers.astype(np.float64) @ counts) / total,
            **{name: int(numbers[place]) for name, place in places.items()},
            "max": int(numbers[-1]),
        }
