"""The invariants of the window modes, from the versions and not from what a rank says of itself.

A log row says which version of each shard its gradient was computed from (``version_read``) and
which version its update made (``version_written``). With P ranks, N updates and the bound s:

1. Written versions of a shard are 1, 2, ..., N, each once: no update lost, none doubled. In a life
   that went on from a checkpoint they go on from the version there.
2. A read at clock c has every update of every rank with clock <= c - s - 1 in it
   (:mod:`mpitrain.analysis.guarantee`); and the lead is <= s (:mod:`mpitrain.analysis.rows`).
3. At most (2 s + 1)(P - 1) updates of other ranks lie between a read and the write that follows.
4. Versions never go back from row to row, and a read is older than its write.

The fifth, of synchronous training, is in :mod:`mpitrain.analysis.synchronous`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.completeness import check_completeness, column_of
from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.scan import Rows
from mpitrain.analysis.seen import Seen
from mpitrain.analysis.sequence import Sequence
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.schema import SHARD_COLUMNS

Versions = npt.NDArray[np.int64]


class WrittenVersions:
    """Notes which versions of each shard a rank wrote, for invariant 1."""

    names = ("version_written",)

    def __init__(self, rank: int, seen: Seen) -> None:
        self._rank = rank
        self._seen = seen

    def look(self, first: int, rows: Rows) -> None:  # wherever they are
        """Note the versions of a slice."""
        self._seen.add(self._rank, rows["version_written"])


def check_written_versions(
    life: LifeLog, start_version: int, seen: Seen
) -> tuple[list[Finding], list[Sequence]]:
    """Check invariant 1 on each shard; also return how far each shard's sequence is complete.

    On a run that still goes on, or was killed, versions may lack at the end: those of updates whose
    rows were not written. :mod:`mpitrain.analysis.sequence` says how they are told from lost ones.
    """
    found: list[Finding] = []
    judged: list[Sequence] = []
    for shard in range(num_shards(life)):
        faults, sequence = _check_written(life, shard, start_version + 1, seen)
        found += faults
        judged.append(sequence)
    return found, judged


class OrderChecks:
    """Invariant 4: versions never go back, and no update was computed from its future."""

    names = SHARD_COLUMNS

    def __init__(self, log: RankLog, start_version: int) -> None:
        self._start = start_version
        self._before: dict[str, Versions] = {}  # (S,), by column: the last row before the slice
        self._wrong = {name: Wrong(log.path) for name in ("order", *SHARD_COLUMNS)}

    def findings(self) -> list[Finding]:
        """Return what was wrong, check by check."""
        return [finding for wrong in self._wrong.values() for finding in wrong.findings()]

    def look(self, first: int, rows: Rows) -> None:
        """Check a slice."""
        read, written = rows["version_read"], rows["version_written"]
        is_wrong = read >= written
        if read.min() < self._start:
            is_wrong |= read < self._start
        self._wrong["order"].add(
            first,
            is_wrong,
            describe_shard(
                is_wrong,
                lambda row, shard: (
                    f"read version {read[row, shard]} of shard {shard} and wrote "
                    f"version {written[row, shard]}, must be {self._start} <= read < written"
                ),
            ),
        )
        self._look_at_steps(first, read, "version_read", "read", np.less)
        self._look_at_steps(first, written, "version_written", "wrote", np.less_equal)

    def _look_at_steps(
        self, first: int, versions: Versions, name: str, verb: str, goes_back: np.ufunc
    ) -> None:
        """Check that each row's versions are above those of the row before, or at least equal."""
        before = self._before.get(name)
        if before is not None:
            self._tell(first, versions[:1], before[np.newaxis], name, verb, goes_back)
        self._tell(first + 1, versions[1:], versions[:-1], name, verb, goes_back)
        self._before[name] = versions[-1].copy()

    def _tell(
        self, first: int, versions: Versions, before: Versions, name: str, verb: str,
        goes_back: np.ufunc,
    ) -> None:  # fmt: skip
        is_wrong = goes_back(versions, before)
        self._wrong[name].add(
            first,
            is_wrong,
            describe_shard(
                is_wrong,
                lambda row, shard: (
                    f"{verb} version {versions[row, shard]} of shard {shard} after "
                    f"version {before[row, shard]} in the row before"
                ),
            ),
        )


def num_shards(life: LifeLog) -> int:
    """Return the number of shards that all logs of a life have columns for."""
    return min((len(log.shards) for log in life.ranks.values()), default=0)


def describe_shard(
    is_wrong: npt.NDArray[np.bool_], describe: Callable[[int, int], str]
) -> Callable[[int], str]:
    """Turn a description of (row, shard) into one of a row, by its first wrong shard."""
    return lambda row: describe(row, int(np.argmax(is_wrong[row])))


def _check_written(
    life: LifeLog, shard: int, first: int, seen: Seen
) -> tuple[list[Finding], Sequence]:
    return check_completeness(
        life,
        seen,
        shard,
        lambda log: column_of(log, "version_written", shard),
        first=first,
        name=f"version {{}} of shard {shard}",
    )
