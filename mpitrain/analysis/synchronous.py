"""The invariant of synchronous training: staleness 0, and the same parameters on all ranks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.completeness import is_complete
from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.start import Start


def check_synchronous(life: LifeLog, start: Start) -> list[Finding]:
    """Check invariant 5, and that all ranks of a finished run took the same number of steps."""
    found: list[Finding] = []
    for rank, log in life.ranks.items():
        found += _check_rows(log, start.version - start.clock(rank))
    if is_complete(life):
        common = _most_common([log.num_rows for log in life.ranks.values()])
        found += [
            Finding(log.path, None, f"has {log.num_rows} rows, most logs of this life {common}")
            for log in life.ranks.values()
            if log.num_rows != common
        ]
    return found + check_digests(life)


def check_digests(life: LifeLog) -> list[Finding]:
    """Check that the n-th digest of the parameters is the same on all ranks that wrote one.

    Digests are events of kind "digest" with the key ``parameters_sha256``.
    """
    digests = {
        log: [
            str(detail.get("parameters_sha256"))
            for _, kind, detail in log.events
            if kind == "digest"
        ]
        for log in life.ranks.values()
    }
    found: list[Finding] = []
    for number in range(max(map(len, digests.values()), default=0)):
        said = {log: values[number] for log, values in digests.items() if number < len(values)}
        common = _most_common(list(said.values()))
        found += [
            Finding(log.path, None, f"digest {number} of the parameters is {value}, not {common}")
            for log, value in said.items()
            if value != common
        ]
    return found


def _check_rows(log: RankLog, offset: int) -> list[Finding]:
    """Check the columns of a rank whose versions are its clocks + ``offset``."""
    steps = log.steps
    found: list[Finding] = []
    for name in ("staleness_mean", "staleness_max", "own_missing"):
        found += _check_column(log, name, np.zeros(log.num_rows))
    if log.per_shard:
        found += _check_column(log, "version_read", steps["clock"] + offset)
        found += _check_column(log, "version_written", steps["clock"] + offset + 1)
    return found


def _check_column(log: RankLog, name: str, wanted: npt.NDArray[Any]) -> list[Finding]:
    values = log.steps[name]
    is_wrong = values != (wanted if values.ndim == 1 else wanted[:, np.newaxis])
    return findings_at(
        log,
        is_wrong,
        lambda row: (
            f"{name} is {values[row].tolist()} in a synchronous run, must be {wanted[row]:.0f}"
        ),
    )


def _most_common(values: list[Any]) -> Any:
    return Counter(values).most_common(1)[0][0] if values else None
