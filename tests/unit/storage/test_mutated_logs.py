"""Logs from strangers: each of many damaged files reads right or is refused in one line."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.analysis.verify import verify
from mpitrain.core.errors import LogError
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter

NUM_SEEDS = 250


def test_mutated_logs_are_read_right_or_refused_in_bounded_memory() -> None:
    """Bits, pieces, lengths, links, shapes, filters, strings; no crash, in 96 MiB."""
    command = [sys.executable, str(Path(__file__).with_name("mutated_logs.py")), "0"]
    done = subprocess.run(
        [*command, str(NUM_SEEDS)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = ast.literal_eval(done.stdout)
    assert sum(counts.values()) == NUM_SEEDS
    assert counts["refused"] > NUM_SEEDS / 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a closed log of five rows, alone in its run."""
    run = RunDirectory(tmp_path / "run")
    run.life_directory(0).mkdir(parents=True)
    said, shards = {"rank": 0, "size": 1}, np.array([[0, 3, 0]])
    with LogWriter(
        run.log_path(0, 0), attributes=said, shards=shards, per_shard=True, flush_every_s=60.0
    ) as log:
        for row in range(5):
            log.append(row, row, *[0] * 15, np.array([row]), np.array([row + 1]))
    return log.path


def replaced(name: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    """Return what puts something else in the place of a dataset."""

    def change(file: h5py.File) -> None:
        del file[name]
        make(file)

    return change


def outside(file: h5py.File) -> str:
    """Return a place outside the run that nobody can open without waiting for ever."""
    path = Path(file.filename).parents[3] / "outside"
    os.mkfifo(path)
    return str(path)


def virtual(file: h5py.File) -> None:
    """Map a column to another file."""
    layout = h5py.VirtualLayout((5,), "<f4")
    layout[...] = h5py.VirtualSource(outside(file), "steps/loss", (5,))
    file.create_virtual_dataset("steps/loss", layout)


def huge(file: h5py.File) -> None:
    """Say that there are very many rows."""
    file["steps/num_rows"][()] = 2**40
    for column in file["steps"].values():
        if column.shape:
            column.resize(2**40, axis=0)


REFUSED: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "soft link": (
        replaced("steps/loss", lambda f: f.update({"steps/loss": h5py.SoftLink("/steps/rate")})),
        "/steps/loss is a link, no log has links",
    ),
    "external link": (
        replaced("steps", lambda f: f.update({"steps": h5py.ExternalLink(outside(f), "/steps")})),
        "/steps is a link",
    ),
    "virtual": (replaced("steps/loss", virtual), "/steps/loss is not stored plainly"),
    "external storage": (
        replaced(
            "steps/loss",
            lambda f: f.create_dataset("steps/loss", (5,), "<f4", external=[(outside(f), 0, 20)]),
        ),
        "/steps/loss is not stored plainly",
    ),
    "filter": (
        replaced(
            "steps/loss", lambda f: f.create_dataset("steps/loss", (5,), "<f4", compression=9)
        ),
        "/steps/loss is not stored plainly",
    ),
    "contiguous": (
        replaced("steps/loss", lambda f: f.create_dataset("steps/loss", (5,), "<f4")),
        "/steps/loss must be chunked by whole rows",
    ),
    "nothing stored": (
        replaced("steps/loss", lambda f: f.create_dataset("steps/loss", (5,), "<f4", chunks=(2,))),
        "/steps/loss has 0 of the 3 chunks of 5 rows",
    ),
    "huge": (huge, "its rows have "),
    "huge shards": (
        replaced("shards", lambda f: f.create_dataset("shards", (2**40, 3), "<i8")),
        "bytes of /shards are not all there",
    ),
    "variable strings": (
        lambda f: f.attrs.update(mode="asp"),
        "attribute 'mode' has the type object, allowed are numbers and fixed strings",
    ),
    "empty attribute": (lambda f: f.attrs.update(mode=h5py.Empty("i8")), "'mode' has no value"),
    "not text": (lambda f: f.attrs.update(mode=np.bytes_(b"\xff")), "can't decode byte 0xff"),
    "many attributes": (
        lambda f: f.attrs.update({f"a{number}": 0 for number in range(1001)}),
        "attributes, at most 1000 are allowed",
    ),
    "large attribute": (
        lambda f: f.attrs.update(a=np.zeros(2**21 + 1)),
        "attribute 'a' has 16777224 bytes, at most 16777216 are allowed",
    ),
    "float counter": (
        replaced("steps/num_rows", lambda f: f.create_dataset("steps/num_rows", data=5.0)),
        "/steps/num_rows must be a whole number >= 0",
    ),
    "no object": (
        lambda f: f["events/detail"].__setitem__(slice(0, 0), []) or f["events"].pop("detail"),
        "there is no dataset /events/detail",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_log_needs_is_refused(path: Path, name: str) -> None:
    """Nothing outside the file is opened, and nothing is believed that is not stored."""
    change, words = REFUSED[name]
    with h5py.File(path, "r+", libver="latest") as file:
        change(file)
    with pytest.raises(LogError) as error:
        dict(RankLog(path).steps)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert not verify(path.parents[2]).ok


def test_only_regular_files_are_opened(path: Path, tmp_path: Path) -> None:
    """Neither a link to a good log, nor a pipe, nor a folder; a linked life does not count."""
    moved = path.rename(tmp_path / "elsewhere.h5")
    for make in (lambda: path.symlink_to(moved), lambda: os.mkfifo(path), path.mkdir):
        make()
        (life,) = open_log(path.parents[2]).lives
        assert life.missing == [(path, "cannot be read: it is no regular file")]
        path.unlink() if not path.is_dir() else path.rmdir()
    path.parent.rename(tmp_path / "life")
    path.parent.symlink_to(tmp_path / "life")
    with pytest.raises(LogError, match="holds no staleness log"):
        open_log(path.parents[2])


def test_a_claimed_number_of_ranks_is_not_believed_without_end(path: Path) -> None:
    """The missing files of a hundred thousand ranks are told in 21 lines."""
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs["size"] = 100_000
    (life,) = open_log(path.parents[2]).lives
    assert len(life.missing) == 21
    assert life.missing[-1][1] == "there is no such file, nor one of 99978 later ranks"
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs["size"] = 10**12
    (life,) = open_log(path.parents[2]).lives
    assert (life.size, life.missing) == (1, [])
