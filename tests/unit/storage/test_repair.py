"""Repair: killed logs become ordinary files with the same content, and nothing else changes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpitrain.core.errors import LogError
from mpitrain.storage import repair
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.repair import repair_run
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.storage.start import StartMarks

KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.storage.start import StartMarks
start = StartMarks(np.array([5, 6]), np.array([5, 6]), np.array([3, 4]))
numbers = {"start_life": 0, "start_steps": 11, "start_version": 11, "tickets_next": 9,
           "tickets_drawn": 11}
log = LogWriter(Path(sys.argv[1]), attributes={"rank": 1, "size": 2, "host": "ö", **numbers},
                shards=np.array([[0, 4, 0], [4, 8, 1]]), per_shard=True, flush_every_s=60.0,
                start=start)
for row in range(int(sys.argv[2])):
    versions = np.array([row, row + 1])
    log.append(row + 6, 7 * row, *[row // 2] * 15, versions, versions + 1)
    if row % 10 == 0:
        log.event(row, "mark", {"row": row})
log.flush()
os._exit(9)
"""


def write_killed(path: Path, num_rows: int = 5000) -> None:
    """Write a log whose writer ends without closing it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", KILLED, str(path), str(num_rows)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 9


def write_closed(path: Path) -> None:
    """Write a log that its writer closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with LogWriter(path, attributes={"rank": 0, "size": 2}, shards=np.array([[0, 8, 0]]),
                   per_shard=False, flush_every_s=60.0) as log:  # fmt: skip
        log.append(0, 0, *[0] * 15, np.zeros(1), np.zeros(1))


def content(path: Path) -> list[Any]:
    """Return all that a log holds, to be compared."""
    log = RankLog(path)
    columns = [log.steps[name].tobytes() for name in log.steps]
    head = log.num_rows, log.is_closed, log.per_shard, log.shards.tolist()
    return [*head, log.attributes, log.start.facts(), log.events, columns]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run with a killed life of one killed and one closed log, and a closed life."""
    run = RunDirectory(tmp_path)
    write_closed(run.log_path(0, 0))
    write_killed(run.log_path(0, 1))
    write_closed(run.log_path(1, 0))
    return run


def test_a_killed_log_becomes_an_ordinary_file(run: RunDirectory) -> None:
    """Any HDF5 tool opens it; it holds the same and does still not count as closed."""
    path = run.log_path(0, 1)
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path, "r")
    before = content(path)
    others = [run.log_path(0, 0), run.log_path(1, 0)]
    stats = [(other.stat().st_mtime_ns, other.stat().st_ino) for other in others]
    path.chmod(0o640)
    lines = repair_run(run.root)
    assert lines == [
        f"{others[0]}: fine, 1 rows and 0 events",
        f"{path}: repaired, 5000 rows and 500 events",
        f"{others[1]}: fine, 1 rows and 0 events",
    ]
    assert content(path) == before
    assert RankLog(path).start.cut.tolist() == [5, 6]
    assert path.stat().st_mode & 0o777 == 0o640
    assert not RankLog(path).is_closed
    with h5py.File(path, "r") as file:
        assert {len(column) for name, column in file["steps"].items() if name != "num_rows"} == {
            5000
        }
        assert file["start/ticket_holes"][()].tolist() == [3, 4]
    assert [(other.stat().st_mtime_ns, other.stat().st_ino) for other in others] == stats
    assert repair_run(run.root)[1] == f"{path}: fine, 5000 rows and 500 events"
    assert sorted(p.name for p in path.parent.iterdir()) == ["rank-00000.h5", "rank-00001.h5"]


def test_a_log_without_rows_is_repaired(tmp_path: Path) -> None:
    """A rank that was killed before its first step has a log too."""
    path = RunDirectory(tmp_path).log_path(0, 0)
    write_killed(path, 0)
    assert repair_run(tmp_path) == [f"{path}: repaired, 0 rows and 0 events"]
    assert RankLog(path).start.steps == 11


def test_what_cannot_be_read_is_named_and_left(run: RunDirectory) -> None:
    """A truncated log, one that was never made, and a link out of the run stay as they are."""
    short, empty, link = run.log_path(0, 1), run.log_path(0, 2), run.log_path(0, 3)
    short.write_bytes(short.read_bytes()[:-50_000])
    empty.write_bytes(b"")
    outside = run.root / "outside.h5"
    write_killed(outside, 10)
    link.symlink_to(outside)
    before = short.read_bytes(), outside.read_bytes()
    lines = repair_run(run.root)
    assert lines[1].startswith(f"{short}: left as it is: cannot be read")
    assert lines[2].startswith(f"{empty}: left as it is: cannot be read: its writer was killed")
    assert lines[3].startswith(f"{link}: left as it is: cannot be read: it is no regular file")
    assert (short.read_bytes(), outside.read_bytes()) == before
    assert len(lines) == 5


@pytest.mark.parametrize("phase", ["temporary", "data", "fsync", "rename"])
def test_a_kill_in_the_middle_loses_nothing(run: RunDirectory, phase: str) -> None:
    """The old file is there until the new one is whole; the next repair ends the work."""
    path = run.log_path(0, 1)
    before = content(path)
    code = (
        "import os, sys; from pathlib import Path; from mpitrain.storage import repair\n"
        "repair.reached = lambda phase: phase == sys.argv[2] and os.kill(os.getpid(), 9)\n"
        "repair.repair_run(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(run.root), phase]
    assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
    assert content(path) == before
    assert repair_run(run.root)[1] == f"{path}: repaired, 5000 rows and 500 events"
    assert content(path) == before
    assert len(list(path.parent.iterdir())) == 2


def test_a_kill_at_any_moment_loses_nothing(run: RunDirectory, tmp_path: Path) -> None:
    """Ten repairs killed after random times."""
    path, copy = run.log_path(0, 1), tmp_path / "copy"
    before = content(path)
    shutil.copy(path, copy)
    code = (
        "import sys; from pathlib import Path; from mpitrain.storage.repair import repair_run\n"
        "print('go', flush=True)\nrepair_run(Path(sys.argv[1]))"
    )
    random = np.random.default_rng(1)
    for _ in range(10):
        shutil.copy(copy, path)
        command = [sys.executable, "-c", code, str(run.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"go\n"
            time.sleep(random.uniform(0.0, 0.12))
            child.kill()
        assert content(path) == before


def test_a_disk_that_is_full_leaves_the_old_log(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says why; no temporary file stays."""
    path = run.log_path(0, 1)
    before = path.read_bytes()

    def refuse(phase: str) -> None:
        if phase == "data":
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(repair, "reached", refuse)
    assert repair_run(run.root)[1] == (
        f"{path}: left as it is: it cannot be written anew: [Errno 28] No space left on device"
    )
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("limit", [0, 1000, 20_000, 100_000, 400_000, 800_000])
def test_a_file_that_cannot_grow_leaves_the_old_log(run: RunDirectory, limit: int) -> None:
    """The limit strikes inside HDF5; the process says so and ends by itself."""
    path = run.log_path(0, 1)
    before = path.read_bytes()
    code = (
        "import signal, sys; from pathlib import Path\n"
        "from mpitrain.storage.repair import repair_run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "print(repair_run(Path(sys.argv[1]))[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith(f"{path}: left as it is: it cannot be written anew: ")
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """As by every reader of logs."""
    with pytest.raises(LogError, match="holds no staleness log"):
        repair_run(tmp_path)


def test_marks_are_given_as_arrays_or_by_name(tmp_path: Path) -> None:
    """Both say the same to a reader."""
    marks = StartMarks(np.array([1]), np.array([2, 3]), np.array([], np.int64))
    numbers = {"start_life": 0, "start_steps": 5, "start_version": 5, "tickets_next": 4}
    logs = []
    for number, start in enumerate((marks, marks.arrays())):
        path = tmp_path / f"{number}.h5"
        LogWriter(path, attributes=numbers | {"tickets_drawn": 1}, shards=np.array([[0, 8, 0]]),
                  per_shard=True, flush_every_s=60.0, start=start).close()  # fmt: skip
        logs.append(RankLog(path))
    assert logs[0].start.facts() == logs[1].start.facts()
    assert (logs[0].start.clock(0), logs[0].start.deal.next) == (1, 4)
