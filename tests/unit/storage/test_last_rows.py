"""The newest rows of a log, as its writer goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import LogError
from mpitrain.storage.last_rows import read_last_rows
from mpitrain.storage.staleness_log import LogWriter


def append(log: LogWriter, first: int, num: int) -> None:
    """Add rows whose loss is their number."""
    for row in range(first, first + num):
        version = np.array([row])
        log.append(row, row, *[0] * 9, float(row), 0, 0, 0, 1, 8, version, version + 1)


def read_elsewhere(path: Path, names: list[str], most: int) -> dict[str, Any]:
    """Read in another process: one process cannot open a file both to write and to read."""
    code = (
        "import json, pathlib; from mpitrain.storage.last_rows import read_last_rows as read; "
        f"found = read(pathlib.Path({str(path)!r}), {names!r}, {most}, ['evaluation']); "
        "columns = {name: values.tolist() for name, values in found.columns.items()}; "
        "print(json.dumps(vars(found) | {'columns': columns}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_newest_rows_come_while_the_writer_goes_on(tmp_path: Path) -> None:
    """As many as asked for, at most; with the newest event of a kind."""
    path = tmp_path / "log.h5"
    shards, attributes = np.array([[0, 10, 0]]), {"schema": 2, "size": 4}
    with LogWriter(
        path, attributes=attributes, shards=shards, per_shard=True, flush_every_s=60.0
    ) as log:
        append(log, 0, 5)
        log.flush()
        found = read_elsewhere(path, ["loss"], 3)
        assert found == {
            "size": 4, "num_rows": 5, "columns": {"loss": [2, 3, 4]}, "kind": "", "detail": {},
        }  # fmt: skip
        append(log, 5, 3000)
        for steps in (7, 9):
            log.event(1.0, "evaluation", {"steps": steps})
        log.event(2.0, "stop", {})
        log.flush()
        found = read_elsewhere(path, ["clock"], 2)
        assert (found["num_rows"], found["columns"]) == (3005, {"clock": [3003, 3004]})
        assert (found["kind"], found["detail"]) == ("evaluation", {"steps": 9})
    assert read_last_rows(path, ["loss"], 9999).columns["loss"].tolist() == list(range(3005))


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """One line with its path."""
    path = tmp_path / "log.h5"
    path.write_bytes(b"no log")
    with pytest.raises(LogError, match=str(path)):
        read_last_rows(path, ["loss"], 3)
