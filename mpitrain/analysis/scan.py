"""Going through a log once, slice by slice, with all that is to be seen in its rows.

A log may be larger than memory. So a check does not ask for columns: it is shown the rows, a slice
at a time, in order, and keeps of the rows before no more than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from mpitrain.storage.reading import RankLog

Rows = Mapping[str, npt.NDArray[Any]]

SLICE_BYTES = 1 << 21  # of the widest column: what a slice needs stays in the processor's cache
MOST_ROWS = 65_536


class Viewer(Protocol):
    """What looks at all rows of a log."""

    @property
    def names(self) -> Sequence[str]:
        """The columns it looks at."""

    def look(self, first: int, rows: Rows) -> None:
        """Look at the rows from ``first`` on: (rows,) or (rows, S) by name; not to be changed."""


def scan(log: RankLog, viewers: Sequence[Viewer], num_rows: int | None = None) -> None:
    """Show each slice of a log to all viewers.

    Args:
        log: to be read.
        viewers: what looks.
        num_rows: how many rows from the first on; None for all.

    Raises:
        LogError: some of the rows are not in the file.
    """
    names = sorted({name for viewer in viewers for name in viewer.names})
    for first, rows in log.slices(names, num_rows, slice_rows(log)):
        for viewer in viewers:
            viewer.look(first, rows)


def slice_rows(log: RankLog, most: int | None = None) -> int:
    """Return how many rows of a log to read at once, few where shards are many."""
    row_bytes = 8 * (len(log.shards) if log.per_shard else 1)
    return min(most or MOST_ROWS, max(1024, SLICE_BYTES // row_bytes))
