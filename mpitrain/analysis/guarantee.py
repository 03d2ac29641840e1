"""Invariant 2: every read sees all updates that the bound says must be visible.

A read at clock c must have every update of every rank with clock <= c - s - 1 in it. So for each
clock two numbers are kept on each shard: the newest version that an update of it made, and the
oldest that a read of it saw. What is newest up to c - s - 1 may not be newer than what is oldest
at c. Only where it is, reads are looked at one by one.

Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
server", NIPS 2013, section 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.invariants import describe_shard, num_shards
from mpitrain.analysis.scan import Rows, slice_rows
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.schema import SHARD_COLUMNS
from mpitrain.storage.start import Start

Numbers = npt.NDArray[np.int64]

_NO_READ = np.iinfo(np.int64).max


class Guarantee:
    """What all ranks of a life wrote and read, by clock.

    Updates from before this life have versions up to that of the start, which every read has.
    """

    def __init__(self, life: LifeLog, bound: int, start: Start) -> None:
        self._logs = {rank: log for rank, log in life.ranks.items() if log.num_rows}
        self._bound = bound
        self._firsts = {rank: start.clock(rank) for rank in self._logs}
        self._clocks = _clocks_of(
            [(first, first + self._logs[rank].num_rows) for rank, first in self._firsts.items()]
        )
        shape = len(self._clocks), num_shards(life)
        self._newest = np.zeros(shape, np.int64)
        self._oldest = np.full(shape, _NO_READ)

    def viewer(self, rank: int) -> _Viewer:
        """Return what notes the versions of a rank that has rows."""
        return _Viewer(self._newest, self._oldest, self._place(rank))

    def findings(self) -> list[Finding]:
        """Return every read that was too old; all ranks' rows have been noted."""
        newest = np.maximum.accumulate(self._newest, axis=0, out=self._newest)
        num_visible = np.searchsorted(self._clocks, self._clocks - (self._bound + 1), "right")
        size = 16_384
        if not any(
            self._is_older(newest, num_visible[first : first + size],
                           self._oldest[first : first + size]).any()
            for first in range(0, len(self._clocks), size)
        ):  # fmt: skip
            return []
        return [
            finding
            for rank, log in self._logs.items()
            for finding in self._tell_reads(rank, log, num_visible[self._place(rank) :])
        ]

    def _place(self, rank: int) -> int:
        return int(np.searchsorted(self._clocks, self._firsts[rank]))

    @staticmethod
    def _is_older(newest: Numbers, num_visible: Numbers, read: Numbers) -> npt.NDArray[np.bool_]:
        """Tell which reads lack an update of the first so many clocks: (rows, S)."""
        must_see = newest[num_visible - 1]
        must_see[num_visible == 0] = 0
        is_older: npt.NDArray[np.bool_] = read < must_see
        return is_older

    def _tell_reads(self, rank: int, log: RankLog, num_visible: Numbers) -> list[Finding]:
        wrong = Wrong(log.path)
        for first, rows in log.slices(["version_read"], size=slice_rows(log)):
            read = rows["version_read"]
            is_wrong = self._is_older(self._newest, num_visible[first : first + len(read)], read)

            def describe(row: int, shard: int, first: int = first, read: Numbers = read) -> str:
                clock = self._firsts[rank] + first + row
                version, writer = self._writer(int(num_visible[first + row]), shard)
                return (
                    f"read version {read[row, shard]} of shard {shard} at clock {clock}, older "
                    f"than bound {self._bound} allows: rank {writer} wrote version {version} "
                    f"by clock {clock - self._bound - 1}"
                )

            wrong.add(first, is_wrong, describe_shard(is_wrong, describe))
        return wrong.findings()

    def _writer(self, num_visible: int, shard: int) -> tuple[int, int]:
        """Return the newest version that the first so many clocks made, and its rank."""
        version = int(self._newest[num_visible - 1, shard]) if num_visible else 0
        clock = self._clocks[int(np.searchsorted(self._newest[:, shard], version))]
        ranks = [
            rank
            for rank, log in self._logs.items()
            if 0 <= (row := int(clock) - self._firsts[rank]) < log.num_rows
            for _, rows in log.slices(["version_written"], row + 1, start=row)
            if rows["version_written"][0, shard] == version
        ]
        return version, max(ranks, default=-1)


class _Viewer:
    """Notes the versions of one rank, whose first clock has the place ``place``."""

    names = SHARD_COLUMNS

    def __init__(self, newest: Numbers, oldest: Numbers, place: int) -> None:
        self._newest = newest
        self._oldest = oldest
        self._place = place

    def look(self, first: int, rows: Rows) -> None:
        """Note the versions of a slice."""
        read, written = rows["version_read"], rows["version_written"]
        start = self._place + first
        newest, oldest = (a[start : start + len(read)] for a in (self._newest, self._oldest))
        np.maximum(newest, written, out=newest)
        np.minimum(oldest, read, out=oldest)


def _clocks_of(ranges: list[tuple[int, int]]) -> Numbers:
    """Return the clocks that lie in some of the ranges (start, stop), increasing, each once."""
    pieces, reached = [np.empty(0, np.int64)], 0
    for start, stop in sorted(ranges):
        pieces.append(np.arange(max(start, reached), stop, dtype=np.int64))
        reached = max(reached, stop)
    return np.concatenate(pieces)
