"""Who saw whose update first, by the versions of the first shard.

An update writes version w of the shard. A rank's first read that saw it is its first one whose read
version is >= w. Of many updates every n-th version is followed, with all the ranks that saw it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Updates:
    """Updates that are followed, by rising version.

    Attributes:
        version: (n,), of the first shard, each once.
        rank: (n,), who wrote it.
        began_ns: (n,), when its writing began.
        at_ns: (n,), a moment within its writing.
    """

    version: Numbers
    rank: Numbers
    began_ns: Numbers
    at_ns: Numbers


@dataclass(frozen=True)
class Sights:
    """First reads of one rank that saw followed updates of other ranks.

    Attributes:
        update: (m,), index of the update.
        row: (m,), of the reading step, in its log.
        latest_ns: (m,), when that read had ended at the latest.
        at_ns: (m,), a moment within it.
    """

    update: Numbers
    row: Numbers
    latest_ns: Numbers
    at_ns: Numbers


def every_nth(num_updates: int, num_ranks: int, most: int) -> int:
    """Return n so that following every n-th update needs at most about ``most`` arrows.

    Args:
        num_updates: that there are.
        num_ranks: all but the writer may see each.
        most: > 0.
    """
    return max(1, -(-num_updates * max(0, num_ranks - 1) // most))


def gathered(parts: list[tuple[int, Numbers, Numbers, Numbers]]) -> Updates:
    """Return the followed updates of all ranks: rank; version, began_ns, at_ns."""
    ranks = [np.full(len(versions), rank) for rank, versions, _, _ in parts]
    columns = [
        np.concatenate([np.empty(0, np.int64), *arrays])
        for arrays in ([p[1] for p in parts], ranks, [p[2] for p in parts], [p[3] for p in parts])
    ]
    version, first = np.unique(columns[0], return_index=True)
    return Updates(version, *(column[first] for column in columns[1:]))


def first_sights(
    updates: Updates, rank: int, versions: Numbers, before: int, first_row: int
) -> tuple[Numbers, Numbers]:
    """Return which updates some reads of a rank saw first, and in which row.

    Args:
        updates: all that are followed.
        rank: that reads; its own updates are left out.
        versions: (rows,), read versions, rising.
        before: the read version of the row before these.
        first_row: number of the first of these rows.

    Returns:
        (m,), indices of updates; (m,), rows.
    """
    last = int(versions[-1]) if len(versions) else before
    start, stop = np.searchsorted(updates.version, [before, last], side="right")
    seen = np.arange(start, max(start, stop))
    seen = seen[updates.rank[seen] != rank]
    rows = np.searchsorted(versions, updates.version[seen], side="left")
    return seen, rows + first_row


def lateness_s(
    updates: Updates, sights: Sights, errors_s: npt.NDArray[np.float64], rank: int
) -> npt.NDArray[np.float64]:
    """Return by how much each update seems to be written after it was read, (m,), seconds.

    Nothing can be read before its writing began, so values above 0 tell how far two ranks' clocks
    are apart. The error that the logs state for both is taken off.
    """
    apart = (updates.began_ns[sights.update] - sights.latest_ns) / 1e9
    late: npt.NDArray[np.float64] = apart - errors_s[updates.rank[sights.update]] - errors_s[rank]
    return late
