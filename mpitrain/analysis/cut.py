"""Checks of a cut: the rows of a life up to the checkpoint that its successor started from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.invariants import num_shards
from mpitrain.analysis.scan import Rows, scan
from mpitrain.storage.reading import RankLog, Stretch
from mpitrain.storage.start import Start


def check_cut(place: Path, before: Stretch, start: Start, terms: Terms) -> Iterator[Finding]:
    """Check that every row up to the cut is there and that they make what the successor says.

    Args:
        place: a log of the successor.
        before: the life that wrote the checkpoint.
        start: what the successor says of its start.
        terms: of the life that wrote the checkpoint.
    """
    life, own = before.life, before.life.start
    if len(start.cut) != life.size:
        what = f"/start/cut has {len(start.cut)} clocks, life {life.life} had {life.size} ranks"
        yield Finding(place, None, what)
        return
    for rank, clock in enumerate(start.cut.tolist()):
        if clock < own.clock(rank):
            what = f"the cut of rank {rank} is {clock}, it began at clock {own.clock(rank)}"
            yield Finding(place, None, what)
    yield from _check_rows_are_there(before)
    num_rows = sum(before.num_rows.values())
    num_versions = max(before.num_rows.values()) if terms.mode == "bsp" else num_rows
    for name, said, wanted in (
        ("start_steps", start.steps, own.steps + num_rows),
        ("start_version", start.version, own.version + num_versions),
    ):
        if said != wanted:
            what = f"{name} is {said}, the rows of life {life.life} up to the cut give {wanted}"
            yield Finding(place, None, what)
    if terms.mode == "bsp":
        yield from _check_equal_clocks(place, before)
    elif not life.missing and all(log.per_shard for log in life.ranks.values()):
        yield from _check_versions(place, before, start.version)


def _check_rows_are_there(before: Stretch) -> Iterator[Finding]:
    """A life that took a checkpoint has flushed the rows up to it: no finished update is lost."""
    for rank, log in before.life.ranks.items():
        wanted = before.num_rows.get(rank, 0)
        if log.num_rows < wanted:
            what = f"{wanted - log.num_rows} rows are lost: the checkpoint was after {wanted} rows"
            yield Finding(log.path, log.num_rows, what, wanted - log.num_rows)


def _check_equal_clocks(place: Path, before: Stretch) -> Iterator[Finding]:
    if len(set(before.num_rows.values())) > 1:
        rows = list(before.num_rows.values())
        what = f"the cut counts {rows} rows of the ranks, in a synchronous life they are equal"
        yield Finding(place, None, what)


def _check_versions(place: Path, before: Stretch, stop: int) -> Iterator[Finding]:
    """Check that the rows up to the cut wrote every version up to that of the checkpoint."""
    counts = [_Written(segment.log, stop) for segment in before.segments()]
    for segment, count in zip(before.segments(), counts, strict=True):
        scan(segment.log, [count], segment.num_rows)
    wanted = stop - before.life.start.version
    for shard in range(num_shards(before.life)):
        for count in counts:
            yield from count.beyond[shard].findings()
        num = sum(int(count.num[shard]) for count in counts)
        if num != wanted:
            what = f"{num} updates of life {before.life.life} up to the cut are on shard {shard}"
            yield Finding(place, None, f"{what}, its version {stop} says that there are {wanted}")


class _Written:
    """Counts the versions up to ``stop`` that a rank wrote, and tells those beyond.

    Attributes:
        num: (S,), int64: versions up to ``stop``.
        beyond: what lies beyond, by shard.
    """

    names = ("version_written",)

    def __init__(self, log: RankLog, stop: int) -> None:
        self._stop = stop
        self.num = np.zeros(len(log.shards), np.int64)
        self.beyond = [Wrong(log.path) for _ in log.shards]

    def look(self, first: int, rows: Rows) -> None:
        """Count those of a slice."""
        written = rows["version_written"]
        is_beyond = written > self._stop
        self.num += len(written) - is_beyond.sum(axis=0)
        for shard in np.flatnonzero(is_beyond.any(axis=0)).tolist():
            self._tell(first, written[:, shard], shard)

    def _tell(self, first: int, written: npt.NDArray[np.int64], shard: int) -> None:
        self.beyond[shard].add(
            first,
            written > self._stop,
            lambda row: (
                f"wrote version {written[row]} of shard {shard} before a checkpoint that has "
                f"version {self._stop}"
            ),
        )
