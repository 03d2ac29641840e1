from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpitrain.bench.replay import staggered
from mpitrain.core.errors import UserError
from mpitrain.schedules.recorded import longest_prefix
from mpitrain.schedules.schedule import TIMES, Schedule
from mpitrain.schedules.stored import fault_of, read_schedule, write_schedule


def schedule() -> Schedule:
    """Return 12 updates of 3 ranks on 2 shards."""
    made = staggered(12, 3, 2)
    return replace(made, times={name: np.arange(12) / 8 for name in TIMES})


def test_schedule_comes_back_from_a_file(tmp_path: Path) -> None:
    """Every array and number."""
    wanted = schedule()
    write_schedule(tmp_path / "s.h5", wanted)
    found = read_schedule(tmp_path / "s.h5")
    for name in ("rank", "clock", "ticket", "read", "written", "lead"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    assert {name: found.times[name].tolist() for name in TIMES} == {
        name: wanted.times[name].tolist() for name in TIMES
    }
    assert (found.size, found.first_version, found.is_collective) == (3, 0, False)


@pytest.mark.parametrize(
    ("name", "row", "value", "fault"),
    [
        ("rank", 3, 2, "in order of rank"),
        ("rank", 11, 3, "ranks must be in"),
        ("clock", 2, 5, "in order of rank, then clock"),
        ("clock", slice(0, 4), np.arange(3, 7), "clock from 0 on"),
        ("ticket", 2, -1, "each ticket from 0 on"),
        ("ticket", 2, 3, "each ticket from 0 on"),
        ("lead", 2, 3, "leads must be"),
        ("written", (2, 1), 8, "exactly once"),
        ("read", (2, 1), 11, "before the one that is written"),
        ("read", (2, 1), 0, "must not go back"),
        ("read", (1, 0), 0, "must read its own updates"),
    ],
)
def test_schedule_that_contradicts_itself_is_refused(
    tmp_path: Path, name: str, row: Any, value: Any, fault: str
) -> None:
    """The file is named, and what is wrong."""
    wrong = schedule()
    assert fault_of(wrong) == ""
    getattr(wrong, name)[row] = value
    write_schedule(tmp_path / "s.h5", wrong)
    with pytest.raises(UserError, match=rf"s\.h5: no run can follow this schedule: .*{fault}"):
        read_schedule(tmp_path / "s.h5")


def test_file_that_is_no_schedule_is_refused(tmp_path: Path) -> None:
    """Missing, something else, another schema."""
    with pytest.raises(UserError, match=r"nothing\.h5: an HDF5 file is expected"):
        read_schedule(tmp_path / "nothing.h5")
    path = tmp_path / "s.h5"
    write_schedule(path, schedule())
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 7
    with pytest.raises(UserError, match=r"a schedule of schema 1 is expected, found .*7"):
        read_schedule(path)
    with pytest.raises(UserError, match=r"cannot be written: no such file or directory"):
        write_schedule(tmp_path / "no" / "s.h5", schedule())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("kind", np.arange(3), "a schedule of schema 1 is expected"),
        ("size", "many", "the file is damaged"),
        ("size", 10**15, r"size must be in \[1, 100000\]"),
        ("first_version", 5, "must begin with the run, at version 0"),
        ("is_collective", np.arange(2), "the file is damaged"),
        ("is_collective", 1, "all ranks must make a version together"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(
    tmp_path: Path, name: str, value: Any, fault: str
) -> None:
    """As a stranger's file may have them."""
    path = tmp_path / "s.h5"
    write_schedule(path, schedule())
    with h5py.File(path, "r+") as file:
        file.attrs[name] = value
    with pytest.raises(UserError, match=rf"s\.h5: .*{fault}"):
        read_schedule(path)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("rank", np.full(12, np.nan), "rank must hold whole numbers, found float64"),
        ("times/wait_s", np.full(12, np.nan), "times must be >= 0 and finite"),
        ("times/wait_s", np.zeros(3), "different lengths"),
        ("read", np.zeros((12, 0), np.int64), "alike"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    tmp_path: Path, name: str, value: Any, fault: str
) -> None:
    """Their shape and type are not trusted."""
    path = tmp_path / "s.h5"
    write_schedule(path, schedule())
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = value
    with pytest.raises(UserError, match=rf"s\.h5: .*{fault}"):
        read_schedule(path)


def test_damaged_file_gives_one_line(tmp_path: Path) -> None:
    """Whatever bytes are wrong: it is read, or it is a user error."""
    path = tmp_path / "s.h5"
    write_schedule(path, schedule())
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    told = []
    for _ in range(150):
        damaged, place = bytearray(whole), int(random.integers(len(whole)))
        damaged[place : place + 64] = random.bytes(64)
        path.write_bytes(damaged)
        try:
            read_schedule(path)
        except UserError as error:
            told.append(str(error))
    assert told
    assert not [line for line in told if "\n" in line]


def test_longest_prefix_has_no_version_missing_and_no_update_in_part() -> None:
    """By hand: 5 updates on 2 shards that overtake each other."""
    made = replace(
        staggered(5, 1, 2),
        written=np.array([[1, 1], [2, 3], [3, 2], [4, 4], [5, 5]]),
    )
    assert longest_prefix(made) == 5
    for lacking, wanted in ((4, 4), (3, 3), (2, 1), (1, 1), (0, 0)):
        is_kept = np.arange(5) != lacking
        assert longest_prefix(made.where(is_kept)) == wanted, lacking
