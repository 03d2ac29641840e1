"""Staleness recomputed from the versions that the logs recorded, and counted.

Nothing here uses what a rank says of its own staleness: only which versions were read and written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.scan import Rows, slice_rows
from mpitrain.storage.reading import RankLog
from mpitrain.storage.schema import SHARD_COLUMNS

Counts = npt.NDArray[np.int64]

MEAN_TOLERANCE = 1e-6
"""Relative; ``staleness_mean`` is stored in float32, which rounds by up to 6e-8."""


NUM_KEPT = 64
"""Of a rank's last updates, when its versions are gone through slice by slice."""


class Staleness(NamedTuple):
    """Staleness of one rank's updates.

    Attributes:
        others: (rows, S), int64: updates of other ranks between read and written version (tau_k).
        own: (rows, S), int64: the rank's own updates there.
    """

    others: Counts
    own: Counts


class StalenessOfRows:
    """The staleness of each update on each shard, from the versions of one log, slice by slice.

    Between the read version r and the written version w of a shard lie w - r - 1 updates; those
    that the rank wrote itself are its own, the rest are the others'. A rank's versions grow, and it
    reads after it wrote, or one step ahead: then only its last update can be missing. So the last
    updates are kept, and more of them than that for rows that were damaged. ``is_plain`` tells
    whether they were enough so far; where they were not, only the whole columns tell.
    """

    def __init__(self, num_shards: int) -> None:
        self.is_plain = True
        self._last = np.full((NUM_KEPT, num_shards), np.iinfo(np.int64).min)
        self._others, self._zeros = np.empty((2, 0, num_shards), np.int64)

    def of(self, read: Counts, written: Counts) -> Staleness:
        """Return the staleness in a slice; valid until the next call."""
        num = len(read)
        if len(self._others) < num:
            self._others, self._zeros = np.empty(read.shape, np.int64), np.zeros_like(read)
        others = np.subtract(written, read, out=self._others[:num])
        others -= 1
        own = self._zeros[:num]
        if (self._last[-1] > read[0]).any() or (written[:-1] > read[1:]).any():
            own = self._own(read, written)
            others -= own
        if not ((self._last[-1] < written[0]).all() and (written[:-1] < written[1:]).all()):
            self.is_plain = False
        self._last = np.concatenate([self._last, written[-NUM_KEPT:]])[-NUM_KEPT:].copy()
        return Staleness(others, own)

    def _own(self, read: Counts, written: Counts) -> Counts:
        """Return how many of the rank's last updates were missing."""
        before = np.concatenate([self._last, written])
        own = np.zeros_like(read)
        for start in reversed(range(len(self._last))):  # the update before, then the one before it
            is_missing = before[start : start + len(read)] > read
            if not is_missing.any():
                return own
            own += is_missing
        self.is_plain = False
        return own


class StalenessChecks:
    """Checks the staleness columns against the versions, and invariant 3 where there is a bound.

    Args:
        log: of the rank.
        bound: largest lead; None where there is none.
        size: number of ranks.
    """

    names = (*SHARD_COLUMNS, "staleness_mean", "staleness_max", "own_missing")

    def __init__(self, log: RankLog, bound: int | None, size: int) -> None:
        self._log = log
        self._bound, self._size = bound, size
        self._staleness = StalenessOfRows(len(log.shards))
        lengths = (log.shards[:, 1] - log.shards[:, 0]).astype(np.float64)
        self._weights = lengths / max(1.0, lengths.sum())
        self._wrong = self._nothing()

    def _nothing(self) -> dict[str, Wrong]:
        return {name: Wrong(self._log.path) for name in (*self.names[2:], "bound")}

    def findings(self) -> list[Finding]:
        """Return what was wrong, check by check; all rows have been looked at."""
        if not self._staleness.is_plain:
            self._look_at_whole()
        return [finding for wrong in self._wrong.values() for finding in wrong.findings()]

    def look(self, first: int, rows: Rows) -> None:
        """Check a slice."""
        if self._staleness.is_plain:
            staleness = self._staleness.of(rows["version_read"], rows["version_written"])
            self._look_at(first, rows, staleness)

    def _look_at_whole(self) -> None:
        self._wrong = self._nothing()
        own = own_of(self._log)
        for first, rows in self._log.slices(self.names, size=slice_rows(self._log)):
            read, written = rows["version_read"], rows["version_written"]
            self._look_at(first, rows, staleness_from(read, written, own[first:]))

    def _look_at(self, first: int, rows: Rows, staleness: Staleness) -> None:
        others, own = staleness
        mean = others.astype(np.float64) @ self._weights
        largest = others.max(axis=1)
        most_own = own.max(axis=1) if own.any() else np.zeros(len(own), np.int64)
        self._look_at_column(first, rows, "staleness_mean", mean, MEAN_TOLERANCE * np.abs(mean))
        self._look_at_column(first, rows, "staleness_max", largest, 0)
        self._look_at_column(first, rows, "own_missing", most_own, 0)
        if self._bound is not None:
            most = (2 * self._bound + 1) * (self._size - 1)
            self._wrong["bound"].add(
                first,
                largest > most,
                lambda row: (
                    f"staleness {largest[row]} of shard {int(np.argmax(others[row] > most))} is "
                    f"above (2 x {self._bound} + 1) x {self._size - 1} = {most}"
                ),
            )

    def _look_at_column(
        self, first: int, rows: Rows, name: str, wanted: npt.NDArray[Any],
        tolerance: npt.NDArray[Any] | int,
    ) -> None:  # fmt: skip
        said = rows[name]
        self._wrong[name].add(
            first,
            ~(np.abs(said - wanted) <= tolerance),
            lambda row: f"{name} is {said[row]}, the versions give {wanted[row]}",
        )


def staleness_of(log: RankLog) -> Staleness:
    """Return the staleness of each update on each shard, from the whole versions of one log."""
    own = own_of(log)
    return staleness_from(log.steps["version_read"], log.steps["version_written"], own)


def staleness_from(read: Counts, written: Counts, own: Counts) -> Staleness:
    """Return the staleness of rows, given how many of the rank's own updates lie between.

    Args:
        read: (rows, S).
        written: (rows, S).
        own: (at least rows, S).
    """
    own = own[: len(read)]
    return Staleness(written - read - 1 - own, own)


def own_of(log: RankLog) -> Counts:
    """Return how many of the rank's own updates lie between read and written versions: (rows, S).

    Takes the whole columns into memory, for as long as it computes.
    """
    read, written = log.steps["version_read"], log.steps["version_written"]
    own = np.empty_like(written)
    for shard in range(written.shape[1]):
        writes = np.sort(written[:, shard])
        until = np.searchsorted(writes, written[:, shard], "left")
        own[:, shard] = until - np.searchsorted(writes, read[:, shard], "right")
    log.forget()
    np.maximum(own, 0, out=own)
    return own


class OthersInSlices:
    """The staleness of each update on each shard of a log, asked for slice by slice, in order.

    From the slice on in which older updates of the rank's own are missing, as no rank leaves them,
    their number is counted from whole columns.
    """

    def __init__(self, log: RankLog) -> None:
        self._log = log
        self._rows = StalenessOfRows(len(log.shards))
        self._own: Counts | None = None

    def of(self, first: int, rows: Rows) -> Counts:
        """Return that of the rows from ``first`` on: (rows, S), int64, until the next call."""
        read, written = rows["version_read"], rows["version_written"]
        if self._own is None:
            others = self._rows.of(read, written).others
            if self._rows.is_plain:
                return others
            self._own = own_of(self._log)
        return staleness_from(read, written, self._own[first:]).others
