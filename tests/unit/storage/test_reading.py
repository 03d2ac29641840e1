"""Reading logs back: what is wrong with a file is said, with its name, and spoils no other file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.core.errors import LogError
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter


def write_run(root: Path, size: int = 2, num_rows: int = 5) -> RunDirectory:
    """Write a finished run of ``size`` ranks; rank r has ``num_rows + r`` rows."""
    run = RunDirectory(root)
    run.life_directory(0).mkdir(parents=True)
    for rank in range(size):
        with LogWriter(
            run.log_path(0, rank),
            attributes={"rank": rank, "size": size, "mode": "asp"},
            shards=np.array([[0, 3, 0], [3, 6, size - 1]]),
            per_shard=True,
            flush_every_s=60.0,
        ) as log:
            for row in range(num_rows + rank):
                log.append(row, rank, *[0] * 15, np.array([row, row]), np.array([row, row]))
    return run


def edit(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Change a closed log in place."""
    with h5py.File(path, "r+") as file:
        change(file)


def test_a_finished_run_comes_back_rank_by_rank(tmp_path: Path) -> None:
    """Lives, ranks, attributes, columns cut to the rows, shards and the timeline."""
    write_run(tmp_path)
    log = open_log(tmp_path)
    (life,) = log.lives
    assert (life.life, life.size, list(life.ranks), life.missing) == (0, 2, [0, 1], [])
    assert life.attributes["mode"] == "asp"
    assert life.ranks[1].num_rows == 6
    assert life.ranks[1].steps["ticket"].tolist() == [1] * 6
    assert life.ranks[1].shards.tolist() == [[0, 3, 0], [3, 6, 1]]
    (segment,) = log.timeline(1)
    assert (segment.life, segment.log, segment.num_rows) == (0, life.ranks[1], 6)
    with pytest.raises(LogError, match=r"rank-00007\.h5 is missing"):
        log.timeline(7)
    with pytest.raises(KeyError):
        life.ranks[1].steps["clocks"]


@pytest.mark.parametrize("size", [1, 4, 600, 1500, 4000])
def test_slices_are_the_columns_in_pieces(tmp_path: Path, size: int) -> None:
    """In order, each row once, up to the asked number of rows; nothing is kept in the log."""
    num_rows = 9 if size < 10 else 1500
    (life,) = open_log(write_run(tmp_path, 1, num_rows).root).lives
    log = life.ranks[0]
    names = ["clock", "version_read", "wait_s"]
    for asked, wanted in ((None, num_rows), (num_rows + 9, num_rows), (num_rows - 1, num_rows - 1)):
        slices = list(log.slices(names, asked, size))
        assert [first for first, _ in slices] == list(range(0, wanted, size))
        for name in names:
            pieces = np.concatenate([columns[name] for _, columns in slices])
            np.testing.assert_array_equal(pieces, log.steps[name][:wanted])
    assert list(log.slices(names, 0)) == []
    with pytest.raises(KeyError, match="clocks"):
        next(log.slices(["clocks"]))


def test_a_log_that_lacks_rows_says_so_without_reading_them(tmp_path: Path) -> None:
    """All columns are looked at, and a slice is not read where a later one cannot be."""
    run = write_run(tmp_path, 1, 2000)
    (life,) = open_log(tmp_path).lives
    log = life.ranks[0]
    log.check_stored()
    path = run.log_path(0, 0)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(LogError, match="rank-00000"):
        log.check_stored()
    with pytest.raises(LogError, match="rank-00000"):
        next(log.slices(["version_written"], 2000, 10))


def test_logs_at_another_place_are_found_when_named(tmp_path: Path) -> None:
    """Node-local logs are read from where they were copied to."""
    write_run(tmp_path / "elsewhere")
    (tmp_path / "run").mkdir()
    log = open_log(tmp_path / "run", log_root=tmp_path / "elsewhere" / "log")
    assert log.lives[0].size == 2


def test_what_is_no_run_directory_is_refused_by_name(tmp_path: Path) -> None:
    """Neither a missing nor an empty folder is a run without faults."""
    with pytest.raises(LogError, match="absent is no run directory"):
        open_log(tmp_path / "absent")
    with pytest.raises(LogError, match="holds no staleness log"):
        open_log(tmp_path)


def test_a_missing_file_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    """The number of ranks comes from the logs, so that an absent one is noticed."""
    run = write_run(tmp_path, size=3)
    run.log_path(0, 1).unlink()
    (life,) = open_log(tmp_path).lives
    assert list(life.ranks) == [0, 2]
    assert life.missing == [(run.log_path(0, 1), "there is no such file")]


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def resize(column: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    """Replace a column by zeros of another shape."""

    def change(file: h5py.File) -> None:
        dtype = file[column].dtype
        del file[column]
        file[column] = np.zeros(shape, dtype)

    return change


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "not-hdf5": (lambda path: path.write_text("hello"), "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "truncated": (truncate, "cannot be read"),
    "foreign": (
        lambda path: edit(path, lambda file: [file.pop(name) for name in list(file)]),
        "there is no dataset /shards",
    ),
    "newer": (
        lambda path: edit(path, lambda file: file.attrs.update(schema=99)),
        "schema is 99, this version reads up to 2",
    ),
    "no-column": (
        lambda path: edit(path, lambda file: file.pop("steps/loss")),
        "there is no dataset /steps/loss",
    ),
    "one-version-column": (
        lambda path: edit(path, lambda file: file.pop("steps/version_read")),
        "there is no dataset /steps/version_read",
    ),
    "short-column": (
        lambda path: edit(path, resize("steps/lead", (2,))),
        "num_rows is 6, but /steps/lead has 2 rows",
    ),
    "wrong-shape": (
        lambda path: edit(path, resize("steps/version_read", (6, 3))),
        r"column /steps/version_read must be \(rows, 2\) int64, found \(6, 3\) int64",
    ),
    "scalar-column": (
        lambda path: edit(path, resize("steps/clock", ())),
        r"column /steps/clock must be \(rows\) int64, found \(\) int64",
    ),
    "wrong-counter": (
        lambda path: edit(path, resize("steps/num_rows", (1,))),
        "/steps/num_rows must be a whole number >= 0",
    ),
    "wrong-shards": (
        lambda path: edit(path, resize("shards", (2, 2))),
        r"/shards must be \(S, 3\) int64",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_listed_with_the_reason(tmp_path: Path, damage: str) -> None:
    """Twelve ways to be no log; each is named, and the other rank is read."""
    change, reason = DAMAGES[damage]
    run = write_run(tmp_path)
    change(run.log_path(0, 1))
    (life,) = open_log(tmp_path).lives
    assert list(life.ranks) == [0]
    ((path, found),) = life.missing
    assert path == run.log_path(0, 1)
    assert re.search(reason, found), found
