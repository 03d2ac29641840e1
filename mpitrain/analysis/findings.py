"""What a check found wrong, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpitrain.storage.reading import RankLog

MAX_PER_CHECK = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: the log it is in.
        row: index of the row in that log, from 0; None when it is not about a row.
        what: what is wrong, with the values.
        num_rows: rows this finding stands for; more than 1 when a check fails on many rows.
    """

    file: Path
    row: int | None
    what: str
    num_rows: int = 1

    def __str__(self) -> str:
        where = "" if self.row is None else f" row {self.row}"
        return f"{self.file}{where}: {self.what}"


def findings_at(
    log: RankLog, is_wrong: npt.NDArray[np.bool_], describe: Callable[[int], str]
) -> list[Finding]:
    """Return a finding per wrong row; beyond 20 rows, one for all the others.

    Args:
        log: the log that was checked.
        is_wrong: (rows,) or (rows, S), bool: where the check fails.
        describe: says what is wrong in a row.
    """
    wrong = is_wrong.any(axis=1) if is_wrong.ndim == 2 else is_wrong
    rows = np.flatnonzero(wrong).tolist()
    found = [Finding(log.path, row, describe(row)) for row in rows[:MAX_PER_CHECK]]
    if len(rows) > MAX_PER_CHECK:
        row, others = rows[MAX_PER_CHECK], len(rows) - MAX_PER_CHECK
        what = f"{describe(row)} (and {others - 1} later rows fail the same check)"
        found.append(Finding(log.path, row, what, others))
    return found
