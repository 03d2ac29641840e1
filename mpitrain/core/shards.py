"""The cut of the flat parameter vector into shards, and which rank owns which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError


@dataclass(frozen=True)
class Shards:
    """``count`` nearly equal ranges of a vector, dealt in order to ``num_ranks`` ranks.

    Attributes:
        size: elements of the vector, n.
        count: shards, S.
        num_ranks: ranks, P.
    """

    size: int
    count: int
    num_ranks: int

    def __post_init__(self) -> None:
        most = max(self.size, 1)
        if not 1 <= self.count <= most:
            msg = f"mode.shards must be >= 1 and <= {most} (parameters), got {self.count}"
            raise UserError(msg)

    def start(self, shard: int) -> int:
        """Return the index of the shard's first element."""
        return shard * self.size // self.count

    def stop(self, shard: int) -> int:
        """Return the index after the shard's last element."""
        return (shard + 1) * self.size // self.count

    def owner(self, shard: int) -> int:
        """Return the rank in whose memory the shard lies."""
        return shard * self.num_ranks // self.count

    def length(self, shard: int) -> int:
        """Return the number of elements of the shard."""
        return self.stop(shard) - self.start(shard)

    def slice(self, shard: int) -> slice:
        """Return the shard's range as a slice of the flat vector."""
        return slice(self.start(shard), self.stop(shard))

    def owned_by(self, rank: int) -> range:
        """Return the shards of ``rank``; empty where there are fewer shards than ranks."""
        # owner(k) >= rank  <=>  k * P >= rank * S  <=>  k >= ceil(rank * S / P)
        first = -(-rank * self.count // self.num_ranks)
        after = -(-(rank + 1) * self.count // self.num_ranks)
        return range(first, after)

    def table(self) -> npt.NDArray[np.int64]:
        """Return start, stop and owner of every shard: (S, 3), int64, a new array."""
        rows = [(self.start(k), self.stop(k), self.owner(k)) for k in range(self.count)]
        return np.array(rows, np.int64)

    def weights(self) -> npt.NDArray[np.float64]:
        """Return each shard's part of the vector: (S,), float64, sum 1, a new array."""
        lengths = np.array([self.length(k) for k in range(self.count)], np.float64)
        return lengths / max(self.size, 1)
