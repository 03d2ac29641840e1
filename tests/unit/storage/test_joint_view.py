"""The joint view: all ranks in one table, growing with the logs, at any place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.storage.joint_view import write_joint_view
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.schema import STEP_COLUMNS
from mpitrain.storage.staleness_log import LogWriter

NUM_RANKS, NUM_SHARDS = 3, 2


def start(root: Path) -> list[LogWriter]:
    """Write the view of three ranks, then make the logs of the first two."""
    run = RunDirectory(root)
    run.life_directory(0).mkdir(parents=True)
    write_joint_view(run.joint_path(0), "life-000", NUM_RANKS, NUM_SHARDS, per_shard=True)
    return [
        LogWriter(
            run.log_path(0, rank),
            attributes={"rank": rank},
            shards=np.zeros((NUM_SHARDS, 3), np.int64),
            per_shard=True,
            flush_every_s=60.0,
        )
        for rank in range(NUM_RANKS - 1)
    ]


def append(log: LogWriter, rank: int, rows: range) -> None:
    """Append rows that differ between ranks."""
    for row in rows:
        versions = np.array([10 * rank + row, 10 * rank + row + 1])
        log.append(row, rank, *[0.0] * 5, 0, 0.0, 0, 0, 0.5, 0, 0, 0, 1.0, 32, versions, versions)


def check(view: h5py.File) -> None:
    """Assert what the view of rank 0 with 2 rows and rank 1 with 4 rows holds."""
    steps = view["steps"]
    assert steps["num_rows"][:].tolist() == [2, 4, -1]
    fill = -1
    assert steps["clock"][:, :5].tolist() == [
        [0, 1, fill, fill, fill][: steps["clock"].shape[1]],
        [0, 1, 2, 3, fill][: steps["clock"].shape[1]],
        [fill] * min(5, steps["clock"].shape[1]),
    ]
    assert steps["version_written"][1, 3].tolist() == [13, 14]
    assert (steps["version_read"][2] == -1).all()
    assert np.isnan(steps["loss"][2]).all()
    assert steps["loss"][1, 3] == 0.5


def test_view_grows_with_the_logs_and_ends_with_the_longest(tmp_path: Path) -> None:
    """Empty at first; rows appear while logs are open; trimmed when all are closed."""
    logs = start(tmp_path)
    path = RunDirectory(tmp_path).joint_path(0)
    with h5py.File(path) as view:
        assert view["steps/clock"].shape == (NUM_RANKS, 0)
    append(logs[0], 0, range(2))
    append(logs[1], 1, range(4))
    for log in logs:
        log.flush()
    code = "import h5py, sys; print(h5py.File(sys.argv[1], swmr=True)['steps/clock'][1, 2])"
    command = [sys.executable, "-c", code, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "2"
    for log in logs:
        log.close()
    with h5py.File(path) as view:
        assert set(view["steps"]) == {*STEP_COLUMNS, "num_rows"}
        assert view["steps/clock"].shape == (NUM_RANKS, 4)
        assert view["steps/version_read"].shape == (NUM_RANKS, 4, NUM_SHARDS)
        check(view)


def test_view_works_after_the_run_directory_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are relative to the view, not to the working directory or the old place."""
    logs = start(tmp_path / "old")
    for rank, log in enumerate(logs):
        append(log, rank, range(2 + 2 * rank))
        log.close()
    shutil.move(tmp_path / "old", tmp_path / "new")
    monkeypatch.chdir("/")
    with h5py.File(RunDirectory(tmp_path / "new").joint_path(0)) as view:
        check(view)


def test_view_has_no_version_columns_when_the_logs_have_none(tmp_path: Path) -> None:
    """``log.per_shard = false`` holds for the view as well."""
    write_joint_view(tmp_path / "life-000.h5", "life-000", 1, 1, per_shard=False)
    with h5py.File(tmp_path / "life-000.h5") as view:
        assert "version_read" not in view["steps"]
        assert "clock" in view["steps"]
