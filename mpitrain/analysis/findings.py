"""What a check found wrong, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


class Wrong:
    """The rows of one log that fail one check, slice after slice.

    Twenty are told one by one; beyond them one finding stands for all the others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: list[Finding] = []
        self._num_rows = 0

    def add(
        self, first: int, is_wrong: npt.NDArray[np.bool_], describe: Callable[[int], str]
    ) -> None:
        """Note where the check fails in a slice.

        Args:
            first: row of the log that the slice begins with.
            is_wrong: (rows,) or (rows, S), bool: where the check fails.
            describe: says what is wrong in a row, given its index in the slice.
        """
        if not is_wrong.any():
            return
        wrong = is_wrong.any(axis=1) if is_wrong.ndim == 2 else is_wrong
        rows = np.flatnonzero(wrong).tolist()
        for row in rows[: MAX_PER_CHECK + 1 - len(self._told)]:
            self._told.append(Finding(self._path, first + row, describe(row)))
        self._num_rows += len(rows)

    def findings(self) -> list[Finding]:
        """Return what was noted."""
        found = self._told[:MAX_PER_CHECK]
        if (others := self._num_rows - MAX_PER_CHECK) > 0:
            next_one = self._told[MAX_PER_CHECK]
            what = f"{next_one.what} (and {others - 1} later rows fail the same check)"
            found.append(Finding(self._path, next_one.row, what, others))
        return found
