"""Run directories: names of things, and JSON files that are never seen half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.core.errors import LogError, UserError
from mpitrain.storage.run_directory import RunDirectory, check_is_run, json_line
from mpitrain.storage.run_lock import RunLock


def test_paths_are_those_of_the_contract() -> None:
    """Other programs find the files by these names."""
    run = RunDirectory(Path("/r"))
    assert str(run.run_toml) == "/r/run.toml"
    assert str(run.checkpoints) == "/r/checkpoints"
    assert str(run.life_directory(2)) == "/r/log/life-002"
    assert str(run.log_path(2, 13)) == "/r/log/life-002/rank-00013.h5"
    assert str(run.joint_path(2)) == "/r/log/life-002.h5"
    assert str(RunDirectory(Path("/r"), Path("/node")).joint_path(0)) == "/node/life-000.h5"


def test_status_and_result_come_back_and_leave_no_temporary_file(tmp_path: Path) -> None:
    """The files are replaced by rename; NaN becomes null, so that any JSON reader reads them."""
    run = RunDirectory(tmp_path)
    assert run.read_status() is None
    assert run.read_result() is None
    run.write_status({"status": "running", "life": 0})
    run.write_status({"status": "done", "life": 0})
    run.write_result({"loss": float("nan"), "accuracy": 0.5, "ranks": (1, 2)})
    assert run.read_status() == {"status": "done", "life": 0}
    assert run.read_result() == {"loss": None, "accuracy": 0.5, "ranks": [1, 2]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "status.json"]


def test_a_file_that_is_no_json_object_is_named(tmp_path: Path) -> None:
    """A broken status names the file and what is wrong."""
    run = RunDirectory(tmp_path)
    run.status.write_text("{")
    with pytest.raises(LogError, match=r"cannot read .*status\.json"):
        run.read_status()
    run.status.write_text("[1]")
    with pytest.raises(LogError, match=r"status\.json must hold a JSON object, found list"):
        run.read_status()


def test_json_line_is_strict_and_one_line() -> None:
    """Infinities become null at any depth."""
    assert json_line({"a": [float("inf"), {"b": 1}]}) == '{"a": [null, {"b": 1}]}'


def test_place_that_is_no_run_directory_is_told_with_the_run_it_is_in(tmp_path: Path) -> None:
    """Its checkpoints, and one of them; a name that no file can have is a mistake too."""
    (tmp_path / "run.toml").touch()
    check_is_run(tmp_path)
    place = tmp_path / "checkpoints" / "step-000000009"
    name = ", and --checkpoint step-000000009 to resume"
    for folder, more in ((place.parent, "$"), (place, name)):
        with pytest.raises(UserError, match=f"; give the run directory, {tmp_path}{more}"):
            check_is_run(folder)
    with pytest.raises(UserError, match=r"there is no .*run\.toml$"):
        check_is_run(tmp_path.parent)
    with pytest.raises(UserError, match="cannot be read: file name too long"):
        check_is_run(Path("x" * 300))


def test_lock_that_cannot_be_made_is_told_in_plain_words(tmp_path: Path) -> None:
    """The place, why, and what to do."""
    place = tmp_path / "absent"
    with pytest.raises(UserError) as caught:
        RunLock(place, "give another one")
    said = f"run directory {place} cannot be written: no such file or directory; give another one"
    assert str(caught.value) == said
