"""The versions of a shard that are still to be read, and no others: pure but for the arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[Any]


class Versions:
    """One shard: its present values, and copies of old ones that a later gradient reads.

    A version is copied only when it is about to change and somebody still has to read it, and its
    memory is used again when the last one has.

    Attributes:
        present: (m,), the shard's values; a view of the parameters.
        version: of ``present``.
        num_kept: old versions in memory.
        most_kept: the largest that ``num_kept`` was.
    """

    def __init__(self, present: Vector, read: npt.NDArray[np.int64], first: int) -> None:
        """Keep what the rows of a schedule read.

        Args:
            present: (m,), changed by whoever applies updates.
            read: (U,), version that each row reads.
            first: version of ``present``, the smallest.
        """
        self.present, self.version = present, first
        self._first = first
        self._readers = np.bincount(read - first)  # by version, rows that still read it
        self._kept: dict[int, Vector] = {}
        self._free: list[Vector] = []
        self.most_kept = 0

    @property
    def num_kept(self) -> int:
        """Old versions in memory."""
        return len(self._kept)

    def read_into(self, version: int, out: Vector) -> None:
        """Copy a version for one of its readers, and forget it with the last."""
        index = version - self._first
        self._readers[index] -= 1
        if version == self.version:
            np.copyto(out, self.present)
            return
        np.copyto(out, self._kept[version])
        if not self._readers[index]:
            self._free.append(self._kept.pop(version))

    def add(self, change: Vector) -> None:
        """Add an update: the next version; the one before is kept if somebody has to read it."""
        index = self.version - self._first
        if index < len(self._readers) and self._readers[index]:
            copy = self._free.pop() if self._free else np.empty_like(self.present)
            np.copyto(copy, self.present)
            self._kept[self.version] = copy
            self.most_kept = max(self.most_kept, len(self._kept))
        np.add(self.present, change, out=self.present)
        self.version += 1
