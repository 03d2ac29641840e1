"""The invariants of the window modes, from the versions and not from what a rank says of itself.

A log row says which version of each shard its gradient was computed from (``version_read``) and
which version its update made (``version_written``). With P ranks, N updates and the bound s:

1. Written versions of a shard are 1, 2, ..., N, each once: no update lost, none doubled.
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

Versions = npt.NDArray[np.int64]


def check_written_versions(life: LifeLog) -> tuple[list[Finding], list[Sequence]]:
    """Check invariant 1 on each shard; also return how far each shard's sequence is complete.

    On a run that still goes on, or was killed, versions may lack at the end: those of updates whose
    rows were not written. :mod:`mpitrain.analysis.sequence` says how they are told from lost ones.
    """
    found: list[Finding] = []
    judged: list[Sequence] = []
    for shard in range(num_shards(life)):
        faults, sequence = _check_written(life, shard)
        found += faults
        judged.append(sequence)
    return found, judged


def check_read_guarantee(life: LifeLog, bound: int) -> list[Finding]:
    """Check invariant 2: every read sees all updates that the bound says must be visible.

    Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
    server", NIPS 2013, section 2.
    """
    newest = {
        rank: np.maximum.accumulate(log.steps["version_written"], axis=0)
        for rank, log in life.ranks.items()
        if log.num_rows
    }
    longest = max(map(len, newest.values()), default=0)
    needed = np.zeros((longest, num_shards(life)), np.int64)  # at least this, by clock of a write
    for versions in newest.values():
        num = len(versions)
        np.maximum(needed[:num], versions, out=needed[:num])
        np.maximum(needed[num:], versions[-1], out=needed[num:])
    found: list[Finding] = []
    for log in life.ranks.values():
        found += _check_reads(log, newest, needed, bound)
    return found


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


def check_version_order(log: RankLog) -> list[Finding]:
    """Check invariant 4: versions never go back, and no update was computed from its future."""
    read, written = log.steps["version_read"], log.steps["version_written"]
    return [
        *findings_at(
            log,
            (read >= written) | (read < 0),
            _describe_shard(
                (read >= written) | (read < 0),
                lambda row, shard: (
                    f"read version {read[row, shard]} of shard {shard} and wrote "
                    f"version {written[row, shard]}, must be 0 <= read < written"
                ),
            ),
        ),
        *_check_order(log, read, "read", 0),
        *_check_order(log, written, "wrote", 1),
    ]


def num_shards(life: LifeLog) -> int:
    """Return the number of shards that all logs of a life have columns for."""
    return min((len(log.shards) for log in life.ranks.values()), default=0)


def _check_written(life: LifeLog, shard: int) -> tuple[list[Finding], Sequence]:
    return check_completeness(
        life,
        lambda log: log.steps["version_written"][:, shard],
        first=1,
        name=f"version {{}} of shard {shard}",
    )


def _check_reads(
    log: RankLog, newest: dict[int, Versions], needed: Versions, bound: int
) -> list[Finding]:
    read = log.steps["version_read"]
    is_wrong = np.zeros(read.shape, np.bool_)
    is_wrong[bound + 1 :] = read[bound + 1 :] < needed[: max(0, len(read) - bound - 1)]

    def describe(row: int, shard: int) -> str:
        visible = row - bound - 1
        writes = ((int(w[min(visible, len(w) - 1), shard]), rank) for rank, w in newest.items())
        version, rank = max(writes)
        return (
            f"read version {read[row, shard]} of shard {shard} at clock {row}, older than bound "
            f"{bound} allows: rank {rank} wrote version {version} by clock {visible}"
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
