"""How stale an update was: arithmetic on the versions it read and wrote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass
class Staleness:
    """Staleness of one rank's updates, shard by shard, and its summary over shards.

    Attributes:
        per_shard: (S,) int64, updates of other ranks in (read version, written version).
        own_missing: (S,) int64, the rank's own updates there.
    """

    weights: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        self.per_shard = np.zeros(self.weights.size, np.int64)
        self.own_missing = np.zeros(self.weights.size, np.int64)
        self._last_written = np.zeros(self.weights.size, np.int64)

    def of_write(self, shard: int, version_read: int, version_present: int) -> int:
        """Return the staleness of an update about to be applied to ``shard``.

        Args:
            shard: number of the shard.
            version_read: version of the snapshot the gradient came from.
            version_present: version in the write section, just before the update.
        """
        # A rank reads after it wrote, or one step ahead: at most its last update is missing.
        own = int(self._last_written[shard] > version_read)
        tau = version_present - version_read - own
        self.own_missing[shard] = own
        self.per_shard[shard] = tau
        self._last_written[shard] = version_present + 1
        return tau

    @property
    def mean(self) -> float:
        """Mean over shards, weighted by their size."""
        return float(self.weights @ self.per_shard)

    @property
    def largest(self) -> int:
        """Largest over shards."""
        return int(self.per_shard.max())
