"""Staleness recomputed from the versions that the logs recorded, and counted.

Nothing here uses what a rank says of its own staleness: only which versions were read and written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.storage.reading import LifeLog, RankLog

Counts = npt.NDArray[np.int64]

MEAN_TOLERANCE = 1e-6
"""Relative; ``staleness_mean`` is stored in float32, which rounds by up to 6e-8."""


class Staleness(NamedTuple):
    """Staleness of one rank's updates.

    Attributes:
        others: (rows, S), int64: updates of other ranks between read and written version (tau_k).
        own: (rows, S), int64: the rank's own updates there.
    """

    others: Counts
    own: Counts


def staleness_of(log: RankLog) -> Staleness:
    """Return the staleness of each update on each shard, from the versions of one log.

    Between the read version r and the written version w of a shard lie w - r - 1 updates; those
    that the rank wrote itself are counted in its own column, the rest are the others'.
    """
    read, written = log.steps["version_read"], log.steps["version_written"]
    own = np.empty_like(written)
    for shard in range(written.shape[1]):
        writes = np.sort(written[:, shard])
        until = np.searchsorted(writes, written[:, shard], "left")
        own[:, shard] = until - np.searchsorted(writes, read[:, shard], "right")
    np.maximum(own, 0, out=own)
    return Staleness(written - read - 1 - own, own)


def check_staleness_columns(log: RankLog, staleness: Staleness) -> list[Finding]:
    """Check ``staleness_mean``, ``staleness_max`` and ``own_missing`` against the versions."""
    lengths = (log.shards[:, 1] - log.shards[:, 0]).astype(np.float64)
    mean = staleness.others @ (lengths / max(1.0, lengths.sum()))
    tolerance = MEAN_TOLERANCE * np.abs(mean)
    return [
        *_check_column(log, "staleness_mean", mean, tolerance),
        *_check_column(log, "staleness_max", staleness.others.max(axis=1), 0),
        *_check_column(log, "own_missing", staleness.own.max(axis=1), 0),
    ]


def staleness_histogram(life: LifeLog, num_rows: Mapping[int, int] | None = None) -> dict[int, int]:
    """Return how many updates had which staleness, over all ranks and shards.

    Only the first rows of each rank count, where ``num_rows`` says how many.


    Counts (update, shard) pairs; where the logs have no versions, updates by ``staleness_max``.
    Negative values, which only a faulty log gives, are left out.
    """
    counts: Counter[int] = Counter()
    for rank, log in life.ranks.items():
        values = staleness_of(log).others if log.per_shard else log.steps["staleness_max"]
        if num_rows is not None:
            values = values[: num_rows.get(rank, 0)]
        taus, nums = np.unique(values[values >= 0], return_counts=True)
        counts.update(dict(zip(taus.tolist(), nums.tolist(), strict=True)))
    return dict(sorted(counts.items()))


def _check_column(
    log: RankLog, name: str, wanted: npt.NDArray[Any], tolerance: npt.NDArray[Any] | int
) -> list[Finding]:
    said = log.steps[name]
    return findings_at(
        log,
        ~(np.abs(said - wanted) <= tolerance),
        lambda row: f"{name} is {said[row]}, the versions give {wanted[row]}",
    )
