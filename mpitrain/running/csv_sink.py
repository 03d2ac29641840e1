"""Figures and evaluations as ``metrics.csv``: a row for each number, appended over all lives."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

COLUMNS = ("life", "time_s", "steps", "samples", "name", "value")


class CsvSink:
    """Appends rows; each call's rows are in the file when it returns."""

    def __init__(self, root: Path, life: int) -> None:
        """Open the file, and write its header if it has none.

        Args:
            root: the run directory.
            life: of the run.

        Raises:
            OSError: it cannot be written; names it.
        """
        self.path = root / "metrics.csv"
        is_new, is_cut = _look(self.path)
        self._life = life
        self._file = self.path.open("a", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        try:
            if is_cut:
                self._file.write("\n")
            if is_new:
                self._rows.writerow(COLUMNS)
            self._file.flush()
        except OSError as error:  # a full disk
            with suppress(OSError):
                self._file.close()
            error.filename = str(self.path)
            raise

    def write(self, time_s: float, steps: int, samples: int, values: Mapping[str, float]) -> None:
        """Write one row for each value.

        Raises:
            OSError: the file cannot be written.
        """
        for name, value in values.items():
            self._rows.writerow((self._life, f"{time_s:.3f}", steps, samples, name, f"{value:.6g}"))
        self._file.flush()

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: it cannot be written.
        """
        self._file.close()


def _look(path: Path) -> tuple[bool, bool]:
    """Return whether there is nothing in the file, and whether its last row has no end."""
    if not path.exists() or not path.stat().st_size:
        return True, False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return False, file.read() != b"\n"  # a life was killed inside a row
