"""Invariant 2: every read sees all updates that the bound says must be visible.

A read at clock c must have every update of every rank with clock <= c - s - 1 in it. So for each
clock two numbers are kept on each shard: the newest version that an update of it made, and the
oldest that a read of it saw. What is newest up to c - s - 1 may not be newer than what is oldest
at c. Only where it is, reads are looked at one by one.

That is noted while the logs are read for other checks. Where so few ranks have so many clocks that
there is no room for all of them, the logs are read once more, some clocks of all ranks at a time.

Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
server", NIPS 2013, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.invariants import describe_shard, num_shards
from mpitrain.analysis.scan import Rows, Viewer, slice_rows
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.schema import SHARD_COLUMNS
from mpitrain.storage.start import Start

Numbers = npt.NDArray[np.int64]

MOST_BYTES = 192 << 20
"""Of a table: what 16 ranks need for twelve million steps on 16 shards."""

_NO_READ = np.iinfo(np.int64).max


class _Before(NamedTuple):
    """What was newest before some clock.

    Attributes:
        newest: (S,): versions.
        places: of the clocks at which they were made.
    """

    newest: Numbers
    places: list[int]


class _Table:
    """The clocks with places from ``begin`` to ``stop`` - 1 among those that some rank has.

    Attributes:
        newest: (stop - begin, S): the newest version that an update at each clock made; once
            summed up, that of all clocks up to it.
        oldest: (stop - begin, S): the oldest that a read at each saw.
    """

    def __init__(self, begin: int, stop: int, before: _Before) -> None:
        num_shards = len(before.newest)
        self.begin, self.stop = begin, stop
        self.newest = np.zeros((stop - begin, num_shards), np.int64)
        self.oldest = np.full((stop - begin, num_shards), _NO_READ)
        self._before = before

    def sum_up(self) -> None:
        """Carry the newest versions on, from clock to clock."""
        np.maximum(self.newest[:1], self._before.newest, out=self.newest[:1])
        np.maximum.accumulate(self.newest, axis=0, out=self.newest)

    def before(self, place: int) -> _Before:
        """Return what was newest before a place."""
        newest = self.up_to(place).copy()
        return _Before(newest, [self.place_of(v, k) for k, v in enumerate(newest.tolist())])

    def up_to(self, place: int) -> Numbers:
        """Return the newest versions of all clocks before a place, (S,)."""
        return self.newest[place - 1 - self.begin] if place > self.begin else self._before.newest

    def place_of(self, version: int, shard: int) -> int:
        """Return the place of the clock at which a version became the newest."""
        if version <= self._before.newest[shard]:
            return self._before.places[shard]
        return self.begin + int(np.searchsorted(self.newest[:, shard], version))


class _Viewer:
    """Notes the versions of one rank, whose first clock has the place ``place``."""

    names = SHARD_COLUMNS

    def __init__(self, table: _Table, place: int) -> None:
        self._table, self._place = table, place

    def look(self, first: int, rows: Rows) -> None:
        """Note the versions of a slice."""
        read, written = rows["version_read"], rows["version_written"]
        start = self._place + first - self._table.begin
        places = slice(start, start + len(read))
        newest, oldest = self._table.newest[places], self._table.oldest[places]
        np.maximum(newest, written, out=newest)
        np.minimum(oldest, read, out=oldest)


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
        num, width = len(self._clocks), num_shards(life)
        self._nothing = _Before(np.zeros(width, np.int64), [0] * width)
        self._most = max(1, MOST_BYTES // (16 * width))
        self._whole = _Table(0, num, self._nothing) if num <= self._most else None

    def viewers(self, rank: int) -> list[Viewer]:
        """Return what notes the versions of a rank that has rows; none where there is no room."""
        return [] if self._whole is None else [_Viewer(self._whole, self._place(rank))]

    def findings(self) -> Iterator[Finding]:
        """Yield every read that was too old; all ranks' rows have been noted."""
        if self._whole is not None:
            self._whole.sum_up()
            yield from self._judge(self._whole, 0)
            return
        before, table = self._nothing, None
        for first in range(0, len(self._clocks), self._most):
            begin = max(0, int(self._visible(first, first + 1)[0]) - 1)
            if table is not None:
                before = table.before(begin)
            table = None  # there is room for one
            table = _Table(begin, min(len(self._clocks), first + self._most), before)
            self._note(table)
            table.sum_up()
            yield from self._judge(table, first)

    def _visible(self, first: int, stop: int) -> Numbers:
        """Return how many clocks must be visible to reads with the places first to stop - 1."""
        clocks = self._clocks[first : min(stop, len(self._clocks))] - (self._bound + 1)
        return np.searchsorted(self._clocks, clocks, "right")

    def _note(self, table: _Table) -> None:
        """Note what all ranks did at the clocks of a table."""
        for rank, log in self._logs.items():
            viewer = _Viewer(table, self._place(rank))
            start, stop = self._rows(rank, table.begin, table.stop)
            for first, rows in log.slices(viewer.names, stop, slice_rows(log), start=start):
                viewer.look(first, rows)

    def _place(self, rank: int) -> int:
        return int(np.searchsorted(self._clocks, self._firsts[rank]))

    def _rows(self, rank: int, first: int, stop: int) -> tuple[int, int]:
        """Return the rows of a rank that have these places: the first, and that after the last."""
        place = self._place(rank)
        return max(0, first - place), min(self._logs[rank].num_rows, max(0, stop - place))

    def _judge(self, table: _Table, first: int) -> list[Finding]:
        """Return the reads from ``first`` on that were too old."""
        size = 16_384
        if not any(
            self._is_older(table, self._visible(start, min(start + size, table.stop)),
                           table.oldest[start - table.begin : start - table.begin + size]).any()
            for start in range(first, table.stop, size)
        ):  # fmt: skip
            return []
        return [
            finding
            for rank, log in self._logs.items()
            for finding in self._tell_reads(rank, log, table, first)
        ]

    @staticmethod
    def _is_older(table: _Table, visible: Numbers, read: Numbers) -> npt.NDArray[np.bool_]:
        """Tell which reads lack an update of the first so many clocks: (rows, S)."""
        must_see = table.newest[visible - 1 - table.begin]
        must_see[visible == 0] = 0
        is_older: npt.NDArray[np.bool_] = read < must_see
        return is_older

    def _tell_reads(self, rank: int, log: RankLog, table: _Table, first: int) -> list[Finding]:
        wrong = Wrong(log.path)
        start, stop = self._rows(rank, first, table.stop)
        place = self._place(rank)
        for begin, rows in log.slices(["version_read"], stop, slice_rows(log), start=start):
            read = rows["version_read"]
            visible = self._visible(place + begin, place + begin + len(read))
            is_wrong = self._is_older(table, visible, read)

            def describe(row: int, shard: int, begin: int = begin, read: Numbers = read) -> str:
                clock = self._firsts[rank] + begin + row
                (num_visible,) = self._visible(place + begin + row, place + begin + row + 1)
                version, writer = self._writer(table, int(num_visible), shard)
                return (
                    f"read version {read[row, shard]} of shard {shard} at clock {clock}, older "
                    f"than bound {self._bound} allows: rank {writer} wrote version {version} "
                    f"by clock {clock - self._bound - 1}"
                )

            wrong.add(begin, is_wrong, describe_shard(is_wrong, describe))
        return wrong.findings()

    def _writer(self, table: _Table, num_visible: int, shard: int) -> tuple[int, int]:
        """Return the newest version that the first so many clocks made, and its rank."""
        version = int(table.up_to(num_visible)[shard]) if num_visible else 0
        clock = int(self._clocks[table.place_of(version, shard)])
        ranks = [
            rank
            for rank, log in self._logs.items()
            if 0 <= (row := clock - self._firsts[rank]) < log.num_rows
            for _, rows in log.slices(["version_written"], row + 1, start=row)
            if rows["version_written"][0, shard] == version
        ]
        return version, max(ranks, default=-1)


def _clocks_of(ranges: list[tuple[int, int]]) -> Numbers:
    """Return the clocks that lie in some of the ranges (start, stop), increasing, each once."""
    pieces, reached = [np.empty(0, np.int64)], 0
    for start, stop in sorted(ranges):
        pieces.append(np.arange(max(start, reached), stop, dtype=np.int64))
        reached = max(reached, stop)
    return np.concatenate(pieces)
