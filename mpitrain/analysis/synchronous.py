"""The invariant of synchronous training: staleness 0, and the same parameters on all ranks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.completeness import is_complete
from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.scan import Rows
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.schema import SHARD_COLUMNS

_STALENESS = ("staleness_mean", "staleness_max", "own_missing")


class SynchronousChecks:
    """Invariant 5 in the rows of a rank whose versions are its clocks + ``offset``."""

    def __init__(self, log: RankLog, offset: int) -> None:
        self._columns = (*_STALENESS, *(SHARD_COLUMNS if log.per_shard else ()))
        self.names = ("clock", *self._columns)
        self._offset = offset
        self._wrong = {name: Wrong(log.path) for name in self._columns}

    def findings(self) -> list[Finding]:
        """Return what was wrong, column by column."""
        return [finding for wrong in self._wrong.values() for finding in wrong.findings()]

    def look(self, first: int, rows: Rows) -> None:
        """Check a slice."""
        version = rows["clock"] + self._offset
        for name in _STALENESS:
            self._look_at(first, rows, name, np.zeros(len(version)))
        if len(self._columns) > len(_STALENESS):
            self._look_at(first, rows, "version_read", version)
            self._look_at(first, rows, "version_written", version + 1)

    def _look_at(self, first: int, rows: Rows, name: str, wanted: npt.NDArray[Any]) -> None:
        values = rows[name]
        self._wrong[name].add(
            first,
            values != (wanted if values.ndim == 1 else wanted[:, np.newaxis]),
            lambda row: (
                f"{name} is {values[row].tolist()} in a synchronous run, must be {wanted[row]:.0f}"
            ),
        )


def check_equal_steps(life: LifeLog) -> list[Finding]:
    """Check that all ranks of a finished run took the same number of steps."""
    if not is_complete(life):
        return []
    common = _most_common([log.num_rows for log in life.ranks.values()])
    return [
        Finding(log.path, None, f"has {log.num_rows} rows, most logs of this life {common}")
        for log in life.ranks.values()
        if log.num_rows != common
    ]


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


def _most_common(values: list[Any]) -> Any:
    return Counter(values).most_common(1)[0][0] if values else None
