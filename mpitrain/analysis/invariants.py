"""The invariants of the window modes, from the versions and not from what a rank says of itself.

A log row says which version of each shard its gradient was computed from (``version_read``) and
which version its update made (``version_written``). With P ranks, N updates and the bound s:

1. Written versions of a shard are 1, 2, ..., N, each once: no update lost, none doubled. In a life
   that went on from a checkpoint they go on from the version there.
2. A read at clock c has every update of every rank with clock <= c - s - 1 in it; and the lead is
   <= s (:func:`mpitrain.analysis.rows.check_leads`).
3. At most (2 s + 1)(P - 1) updates of other ranks lie between a read and the write that follows.
4. Versions never go back from row to row, and a read is older than its write.

The fifth, of synchronous training, is in :mod:`mpitrain.analysis.synchronous`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.completeness import check_completeness
from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.analysis.sequence import Sequence
from mpitrain.analysis.staleness import Staleness
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.start import Start

Versions = npt.NDArray[np.int64]


def check_written_versions(
    life: LifeLog, start_version: int
) -> tuple[list[Finding], list[Sequence]]:
    """Check invariant 1 on each shard; also return how far each shard's sequence is complete.

    On a run that still goes on, or was killed, versions may lack at the end: those of updates whose
    rows were not written. :mod:`mpitrain.analysis.sequence` says how they are told from lost ones.
    """
    found: list[Finding] = []
    judged: list[Sequence] = []
    for shard in range(num_shards(life)):
        faults, sequence = _check_written(life, shard, start_version + 1)
        found += faults
        judged.append(sequence)
    return found, judged


def check_read_guarantee(life: LifeLog, bound: int, start: Start) -> list[Finding]:
    """Check invariant 2: every read sees all updates that the bound says must be visible.

    Updates from before this life have versions up to that of the start, which every read has.

    Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
    server", NIPS 2013, section 2.
    """
    writes = _Writes(life, start)
    is_wrong = writes.unseen(bound)
    return [
        finding
        for rank, log in life.ranks.items()
        if rank in is_wrong
        for finding in _tell_reads(log, start.clock(rank), is_wrong[rank], writes, bound)
    ]


def check_staleness_bound(
    log: RankLog, staleness: Staleness, bound: int, size: int
) -> list[Finding]:
    """Check invariant 3: staleness on each shard is at most (2 bound + 1)(size - 1)."""
    largest = (2 * bound + 1) * (size - 1)
    is_wrong = staleness.others > largest
    return findings_at(
        log,
        is_wrong,
        lambda row: (
            f"staleness {staleness.others[row].max()} of shard "
            f"{int(np.argmax(is_wrong[row]))} is above (2 x {bound} + 1) x {size - 1} = {largest}"
        ),
    )


def check_version_order(log: RankLog, start_version: int) -> list[Finding]:
    """Check invariant 4: versions never go back, and no update was computed from its future."""
    read, written = log.steps["version_read"], log.steps["version_written"]
    is_wrong = (read >= written) | (read < start_version)
    return [
        *findings_at(
            log,
            is_wrong,
            _describe_shard(
                is_wrong,
                lambda row, shard: (
                    f"read version {read[row, shard]} of shard {shard} and wrote "
                    f"version {written[row, shard]}, must be {start_version} <= read < written"
                ),
            ),
        ),
        *_check_order(log, read, "read", 0),
        *_check_order(log, written, "wrote", 1),
    ]


def num_shards(life: LifeLog) -> int:
    """Return the number of shards that all logs of a life have columns for."""
    return min((len(log.shards) for log in life.ranks.values()), default=0)


def _check_written(life: LifeLog, shard: int, first: int) -> tuple[list[Finding], Sequence]:
    return check_completeness(
        life,
        lambda log: log.steps["version_written"][:, shard],
        first=first,
        name=f"version {{}} of shard {shard}",
    )


class _Writes:
    """The updates of all ranks by clock, and who of them must have been seen."""

    def __init__(self, life: LifeLog, start: Start) -> None:
        self._num_shards = num_shards(life)
        self._logs = {rank: log for rank, log in life.ranks.items() if log.num_rows}
        self._clocks = {r: start.clock(r) + np.arange(log.num_rows) for r, log in
                        self._logs.items()}  # fmt: skip
        clocks = np.concatenate([np.empty(0, np.int64), *self._clocks.values()])
        self._order = np.argsort(clocks, kind="stable")
        self._ordered = clocks[self._order]

    def unseen(self, bound: int) -> dict[int, npt.NDArray[np.bool_]]:
        """Return by rank, (rows, S): the read lacks an update of clock <= its own - bound - 1."""
        is_wrong = {r: np.zeros((log.num_rows, self._num_shards), np.bool_) for r, log in
                    self._logs.items()}  # fmt: skip
        num_visible = {
            rank: np.searchsorted(self._ordered, clocks - (bound + 1), "right")
            for rank, clocks in self._clocks.items()
        }
        for shard in range(self._num_shards):
            newest = self._newest(shard)
            for rank, log in self._logs.items():
                read = log.steps["version_read"][:, shard]
                is_wrong[rank][:, shard] = read < newest[num_visible[rank]]
        return is_wrong

    def _newest(self, shard: int) -> Versions:
        """Return the largest version that the first 0, 1, 2, ... updates in order made."""
        columns = [log.steps["version_written"][:, shard] for log in self._logs.values()]
        versions = np.concatenate([np.empty(0, np.int64), *columns])[self._order]
        return np.maximum.accumulate(np.concatenate([[0], versions]))

    def newest_by(self, clock: int, shard: int) -> tuple[int, int]:
        """Return the largest version that updates up to ``clock`` made, and its rank."""
        return max(
            (int(log.steps["version_written"][:num, shard].max()), rank)
            for rank, log in self._logs.items()
            if (num := int((self._clocks[rank] <= clock).sum()))
        )


def _tell_reads(
    log: RankLog, first: int, is_wrong: npt.NDArray[np.bool_], writes: _Writes, bound: int
) -> list[Finding]:
    def describe(row: int, shard: int) -> str:
        visible = first + row - bound - 1
        version, rank = writes.newest_by(visible, shard)
        return (
            f"read version {log.steps['version_read'][row, shard]} of shard {shard} at clock "
            f"{first + row}, older than bound {bound} allows: rank {rank} wrote version {version} "
            f"by clock {visible}"
        )

    return findings_at(log, is_wrong, _describe_shard(is_wrong, describe))


def _check_order(log: RankLog, versions: Versions, verb: str, least: int) -> list[Finding]:
    """Check that each row's versions are at least ``least`` above those of the row before."""
    goes_back = np.zeros(versions.shape, np.bool_)
    goes_back[1:] = versions[1:] < versions[:-1] + least
    return findings_at(
        log,
        goes_back,
        _describe_shard(
            goes_back,
            lambda row, shard: (
                f"{verb} version {versions[row, shard]} of shard {shard} after "
                f"version {versions[row - 1, shard]} in the row before"
            ),
        ),
    )


def _describe_shard(
    is_wrong: npt.NDArray[np.bool_], describe: Callable[[int, int], str]
) -> Callable[[int], str]:
    """Turn a description of (row, shard) into one of a row, by its first wrong shard."""
    return lambda row: describe(row, int(np.argmax(is_wrong[row])))
