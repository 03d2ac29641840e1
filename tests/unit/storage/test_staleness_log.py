"""The writer of staleness logs: what it keeps, when it is readable, and how it fails."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.core.errors import ClosedError, LogError
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.reading import RankLog
from mpitrain.storage.schema import SHARD_COLUMNS, STEP_COLUMNS, row_checks
from mpitrain.storage.staleness_log import LogWriter

NUM_SHARDS = 3
SHARDS = np.array([[0, 4, 0], [4, 8, 0], [8, 12, 1]])

# Appends without end and says so; rank-dependent values so that columns cannot be mixed up.
WRITER = """
import sys
import numpy as np
from pathlib import Path
from mpitrain.storage.staleness_log import LogWriter
shards = np.array([[0, 4, 0], [4, 8, 0], [8, 12, 1]])
attributes = {"rank": 0, "size": 1, "layout": "x" * 70000}
log = LogWriter(Path(sys.argv[1]), attributes=attributes, shards=shards, per_shard=True,
                flush_every_s=0.5, block_rows=int(sys.argv[2]))
print("ready", flush=True)
versions = np.arange(3)
row = 0
while True:
    log.append(row, 7 * row, row / 8, 0, 1, 2, 3, 4, 0.5, 6, 7, 8, 9, 10, 11, 1, 32,
               versions + row, versions + row + 1)
    if row % 50 == 0:
        log.event(row / 8, "mark", {"row": row})
    row += 1
"""


def writer(path: Path, **options: object) -> LogWriter:
    """Make a log with plain options."""
    settings = {"per_shard": True, "flush_every_s": 60.0} | options
    attributes = {"rank": 1, "size": 2, "host": "knoten-ä", "empty": "", "clock_error_s": 0.5}
    return LogWriter(path, attributes=attributes, shards=SHARDS, **settings)


def append(log: LogWriter, row: int) -> None:
    """Append a row whose values follow from its number."""
    versions = np.arange(NUM_SHARDS) + row
    numbers = [0.5, 1, 2, 3, 4, 5, 6.5, 7, 8, 9, 10, 11, 12, 1, 32]
    log.append(row, 7 * row, *numbers, versions, versions + 1)
    versions[:] = -99  # the caller reuses its buffers


def check_rows(log: RankLog) -> None:
    """Assert that every row of a log is one that ``append`` or WRITER wrote."""
    rows = np.arange(log.num_rows)
    versions = np.arange(NUM_SHARDS) + rows[:, None]
    np.testing.assert_array_equal(log.steps["clock"], rows)
    np.testing.assert_array_equal(log.steps["ticket"], 7 * rows)
    np.testing.assert_array_equal(log.steps["version_read"], versions)
    np.testing.assert_array_equal(log.steps["version_written"], versions + 1)
    keys = np.column_stack([rows, 7 * rows, versions, versions + 1])
    np.testing.assert_array_equal(log.steps["check"], row_checks(keys))
    assert (log.steps["num_samples"] == 32).all()


def test_rows_come_back_exactly_after_close(tmp_path: Path) -> None:
    """Every number lands in its own column, over many blocks; columns end with the rows."""
    with writer(tmp_path / "a.h5", block_rows=7) as log:
        for row in range(100):
            append(log, row)
        assert log.num_rows == 100
    read = RankLog(log.path)
    assert (read.num_rows, read.is_closed) == (100, True)
    check_rows(read)
    numbers = dict.fromkeys(name for name in STEP_COLUMNS if name not in SHARD_COLUMNS)
    for name in ("clock", "ticket", "check"):
        del numbers[name]
    wanted = [0.5, 1, 2, 3, 4, 5, 6.5, 7, 8, 9, 10, 11, 12, 1, 32]
    for name, value in zip(numbers, wanted, strict=True):
        column = read.steps[name]
        assert column.dtype == STEP_COLUMNS[name].dtype, name
        assert (column == value).all(), name
    with h5py.File(log.path) as file:
        assert {file["steps"][name].shape[0] for name in STEP_COLUMNS} == {100}
    assert read.attributes["host"] == "knoten-ä"
    assert (read.attributes["empty"], read.attributes["clock_error_s"]) == ("", 0.5)
    np.testing.assert_array_equal(read.shards, SHARDS)


def read_elsewhere(path: Path, code: str) -> str:
    """Return what ``code`` prints in another process, which knows the log as ``log()``.

    HDF5 refuses to open a file for reading in the process that writes it.
    """
    start = "import sys; from pathlib import Path; from mpitrain.storage.reading import RankLog\n"
    start += "log = lambda: RankLog(Path(sys.argv[1]))\n"
    command = [sys.executable, "-c", start + code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_rows_are_readable_after_flush_while_the_log_is_open(tmp_path: Path) -> None:
    """What was appended before ``flush`` is seen by a reader; the log does not count as closed."""
    with writer(tmp_path / "a.h5") as log:
        for row in range(10):
            append(log, row)
        log.event(1.5, "checkpoint", {"step": 10})
        log.flush()
        code = "l = log(); print(l.num_rows, l.is_closed, l.steps['ticket'][-1], l.events)"
        said = read_elsewhere(log.path, code)
    assert said == "10 False 63 [(1.5, 'checkpoint', {'step': 10})]"


def test_rows_reach_the_file_without_being_asked_after_the_flush_time(tmp_path: Path) -> None:
    """``flush_every_s`` bounds how long a row is only in memory."""
    with writer(tmp_path / "a.h5", flush_every_s=0.05) as log:
        append(log, 0)
        code = "while not log().num_rows: pass\nprint(log().num_rows)"
        assert read_elsewhere(log.path, code) == "1"


def test_versions_are_absent_when_per_shard_is_off(tmp_path: Path) -> None:
    """Without versions there are no version columns, and the check covers clock and ticket."""
    with writer(tmp_path / "a.h5", per_shard=False) as log:
        append(log, 0)
    read = RankLog(log.path)
    assert not set(SHARD_COLUMNS) & set(read.steps)
    np.testing.assert_array_equal(read.steps["check"], row_checks(np.array([[0, 0]])))


def test_numbers_beyond_float32_are_kept_as_infinity(tmp_path: Path) -> None:
    """A diverging run does not stop at its log."""
    with writer(tmp_path / "a.h5") as log:
        versions = np.zeros(NUM_SHARDS, np.int64)
        log.append(
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1e200, -1e39, np.nan, 1, 1, 1, versions, versions
        )
    steps = RankLog(log.path).steps
    assert steps["loss"][0] == np.inf
    assert steps["gradient_norm"][0] == -np.inf
    assert np.isnan(steps["update_norm"][0])


def test_events_give_up_their_longest_values_when_too_long(tmp_path: Path) -> None:
    """Details stay JSON of at most 512 bytes and say what was cut; a long kind is refused."""
    with writer(tmp_path / "a.h5") as log:
        log.event(0.0, "evaluation", {"accuracy": 0.75, "version": list(range(1000))})
        log.event(1.0, "resume", {f"key-{index}": index for index in range(500)})
        log.event(2.0, "straggler", {"delay_s": float("nan")})
        with pytest.raises(ValueError, match="at most 16 bytes"):
            log.event(3.0, "a kind that is far too long", {})
    assert RankLog(log.path).events == [
        (0.0, "evaluation", {"accuracy": 0.75, "version": None, "cut": ["version"]}),
        (1.0, "resume", {"cut": ["everything"]}),
        (2.0, "straggler", {"delay_s": None}),
    ]


def test_a_closed_log_refuses_rows_and_closes_again(tmp_path: Path) -> None:
    """``close`` may be called twice; any other verb afterwards says that the log is closed."""
    log = writer(tmp_path / "a.h5")
    log.close()
    log.close()
    for call in (lambda: append(log, 0), lambda: log.event(0.0, "x", {}), log.flush):
        with pytest.raises(ClosedError, match=r"a\.h5 is already closed"):
            call()
    assert log.num_rows == 0


def test_a_log_does_not_count_as_closed_when_its_rank_failed(tmp_path: Path) -> None:
    """An exception may have hit the rank inside an update; its rows are still there."""
    log = writer(tmp_path / "a.h5")
    append(log, 0)
    with pytest.raises(ZeroDivisionError), log:
        _ = 1 / 0
    read = RankLog(log.path)
    assert (read.num_rows, read.is_closed) == (1, False)


def test_an_existing_file_is_never_opened_for_writing(tmp_path: Path) -> None:
    """A second writer is refused, and the first one's rows stay."""
    with writer(tmp_path / "a.h5") as log:
        append(log, 0)
    with pytest.raises(LogError, match=r"cannot make the staleness log .*a\.h5"):
        writer(tmp_path / "a.h5")
    assert RankLog(log.path).num_rows == 1


def test_append_waits_when_both_blocks_are_full(tmp_path: Path) -> None:
    """Memory is bounded: rows are delayed, none is lost, while the disk is slow."""
    log = writer(tmp_path / "a.h5", block_rows=4)
    is_open = threading.Event()
    write_steps = log._file.write_steps
    log._file.write_steps = lambda columns: (is_open.wait(20), write_steps(columns))
    rows = threading.Thread(target=lambda: [append(log, row) for row in range(30)])
    rows.start()
    rows.join(0.3)
    assert rows.is_alive()
    assert log.num_rows <= 8
    is_open.set()
    rows.join(20)
    log.close()
    check_rows(RankLog(log.path))
    assert RankLog(log.path).num_rows == 30


def test_a_full_disk_is_told_at_the_next_call(tmp_path: Path) -> None:
    """An error of the writing thread names the file, and the process still ends by itself."""
    code = """
import signal, sys
from pathlib import Path
import numpy as np
from mpitrain.core.errors import LogError
from mpitrain.storage.staleness_log import LogWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = LogWriter(Path(sys.argv[1]), attributes={}, shards=np.zeros((3, 3), np.int64),
                per_shard=True, flush_every_s=60.0, block_rows=64)
versions = np.zeros(3, np.int64)
try:
    for row in range(10**6):
        log.append(row, row, *[0] * 15, versions, versions)
except LogError as error:
    print(error)
try:
    log.flush()
except LogError as error:
    print(error)
log.close()
print("closed")
"""
    limit = 200_000
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done
    assert lines[0].startswith(f"cannot write the staleness log {tmp_path / 'a.h5'}: ")
    assert lines[1:] == [lines[0], "closed"]
    assert (done.returncode, done.stderr) == (0, ""), done
    log = RankLog(tmp_path / "a.h5")
    assert not log.is_closed
    assert log.num_rows % 64 == 0
    np.testing.assert_array_equal(log.steps["clock"], np.arange(log.num_rows))


@pytest.mark.parametrize("limit", [0, 40, 1000, 20_000])
def test_a_disk_that_is_full_from_the_start_is_told(tmp_path: Path, limit: int) -> None:
    """No log is made, and the process ends by itself, where HDF5 alone would crash it."""
    code = """
import signal, sys
from pathlib import Path
import numpy as np
from mpitrain.core.errors import LogError
from mpitrain.storage.staleness_log import LogWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    LogWriter(Path(sys.argv[1]), attributes={}, shards=np.zeros((3, 3), np.int64),
              per_shard=True, flush_every_s=60.0)
except LogError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith(f"cannot make the staleness log {tmp_path / 'a.h5'}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("block_rows", [3, 1000])
def test_a_killed_log_holds_a_prefix_of_whole_rows(tmp_path: Path, block_rows: int) -> None:
    """After kill -9 at a random moment, in 20 of 20 files: rows 0..n-1, each with its check."""
    random = np.random.default_rng(block_rows)
    total = 0
    for number in range(20):
        path = tmp_path / f"{number}.h5"
        command = [sys.executable, "-c", WRITER, str(path), str(block_rows)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(random.uniform(0.0, 0.4))
            child.kill()
        log = RankLog(path)
        check_rows(log)
        assert not log.is_closed
        assert [row["row"] for _, _, row in log.events] == list(range(0, 50 * log.num_events, 50))
        assert len(log.attributes["layout"]) == 70000
        total += log.num_rows
    assert total > 0


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7])
def test_a_killed_log_that_lost_its_end_is_refused_and_not_read_as_zeros(
    tmp_path: Path, share: float
) -> None:
    """HDF5 alone would read zeros or try for ever; a copy cut short names itself instead."""
    path = tmp_path / "a.h5"
    command = [sys.executable, "-c", WRITER, str(path), "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert read_elsewhere(path, "while log().num_rows < 9000: pass\nprint('ok')") == "ok"
        child.kill()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(LogError, match=r"a\.h5: cannot be read"):
        dict(RankLog(path).steps)


def test_null_log_takes_the_same_calls_and_keeps_nothing() -> None:
    """With ``log.enabled = false`` the trainer calls the same verbs."""
    with NullLog() as log:
        append(log, 0)
        log.event(0.0, "checkpoint", {})
        log.flush()
        log.close()
    assert log.num_rows == 0
    verbs = {name for name in vars(LogWriter) if not name.startswith("_")}
    assert verbs <= set(dir(NullLog))
