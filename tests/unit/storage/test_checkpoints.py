"""Checkpoints of a run: which count, in what order, which are kept, and what is never touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import CheckpointError
from mpitrain.storage.checkpoint_file import write_checkpoint_file
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints


def save(
    folder: Checkpoints, steps: int, life: int = 0, facts: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Write a complete checkpoint of two ranks whose content tells steps and life."""
    path = folder.begin(steps)
    arrays = {"parameters/w": np.full(100, steps + life / 10, np.float32)}
    files = {
        name: write_checkpoint_file(path / name, {"steps": steps}, arrays)
        for name in ("state.h5", "rank-00000.h5", "rank-00001.h5")
    }
    return folder.mark_complete(steps, life, files, facts or {})


@pytest.fixture
def folder(tmp_path: Path) -> Checkpoints:
    """Return the folder of a run that has no checkpoints yet."""
    return Checkpoints(tmp_path / "run" / "checkpoints")


def names(checkpoints: list[Checkpoint]) -> list[str]:
    """Return the names of checkpoints."""
    return [checkpoint.name for checkpoint in checkpoints]


def test_a_folder_that_is_not_there_holds_nothing(folder: Checkpoints) -> None:
    """Looking creates nothing."""
    assert folder.complete() == []
    assert folder.refused() == []
    assert folder.newest() is None
    assert folder.clear_debris() == []
    assert folder.prune(1) == []
    with pytest.raises(CheckpointError, match=r"no '12' is there; there are: none"):
        folder.find("12")
    assert not folder.folder.exists()


def test_a_checkpoint_counts_when_it_is_marked_and_comes_back_equal(folder: Checkpoints) -> None:
    """Steps, life, files and facts are those that were given."""
    path = folder.begin(1200)
    assert path == folder.begin(1200) == folder.path(1200)
    assert path.name == "step-000001200"
    assert folder.complete() == []
    facts = {"metric_name": "accuracy", "metric": 0.5, "time": "2026", "deep": [{"a": None}]}
    saved = save(folder, 1200, 3, facts)
    assert folder.complete() == [saved]
    found = folder.find("step-000001200")
    assert (found.steps, found.life, found.facts) == (1200, 3, facts)
    assert sorted(found.files) == ["rank-00000.h5", "rank-00001.h5", "state.h5"]
    folder.check(found)
    assert sorted(p.name for p in path.iterdir()) == ["complete.json", *sorted(found.files)]


def test_newest_is_the_last_of_the_last_life(folder: Checkpoints) -> None:
    """A later life goes on from an earlier one, so fewer steps may be newer."""
    for steps, life in ((3000, 0), (1000, 0), (1500, 1), (9, 2)):
        save(folder, steps, life)
    found = folder.complete()
    assert [(c.life, c.steps) for c in found] == [(0, 1000), (0, 3000), (1, 1500), (2, 9)]
    assert folder.newest() == found[-1]


def test_find_takes_names_and_steps_and_lists_what_there_is(folder: Checkpoints) -> None:
    """A wrong name is answered with the right ones, a damaged one with its fault."""
    saved = [save(folder, steps) for steps in (0, 1200)]
    assert folder.find("1200") == folder.find("step-000001200") == saved[1]
    assert folder.find("0") == folder.find("000") == saved[0]
    for name in ("13", "step-1200", "../run", "²", "9" * 5000):
        there_are = r"there are: step-000000000, step-000001200$"
        with pytest.raises(CheckpointError, match=there_are) as caught:
            folder.find(name)
        assert len(str(caught.value)) < 500
    (saved[1].path / "state.h5").unlink()
    with pytest.raises(CheckpointError, match=r"state\.h5: cannot be read: no such file"):
        folder.find("1200")


def test_a_complete_checkpoint_is_never_written_to_again(folder: Checkpoints) -> None:
    """Starting one at the same steps is refused before anything is harmed."""
    saved = save(folder, 5)
    with pytest.raises(CheckpointError, match="step-000000005: is there already"):
        folder.begin(5)
    folder.check(saved)


def test_prune_keeps_the_newest_and_the_best(folder: Checkpoints) -> None:
    """The best are by metric; of equals the newer; those without a metric are not rated."""
    metrics = [0.9, 0.2, 0.9, None, 0.5, float(2**52), 0.1]
    for steps, metric in enumerate(metrics):
        save(folder, steps, 0, {} if metric is None else {"metric": metric})
    assert folder.prune(1, 2) == [f"step-00000000{n}" for n in (0, 1, 3, 4)]
    assert [c.steps for c in folder.complete()] == [2, 5, 6]
    assert folder.prune(1, 1, larger_is_better=False) == ["step-000000002", "step-000000005"]
    assert folder.prune(0) == []
    assert [c.steps for c in folder.complete()] == [6]
    assert sorted(p.name for p in folder.folder.iterdir()) == ["step-000000006"]


@pytest.mark.parametrize("metric", [True, "0.9", 10**400, None, [1]])
def test_a_metric_that_is_no_number_is_not_rated(folder: Checkpoints, metric: Any) -> None:
    """A stranger's facts are no trouble."""
    save(folder, 1, 0, {"metric": metric})
    save(folder, 2, 0, {"metric": 0.1})
    save(folder, 3)
    assert folder.prune(1, 1) == ["step-000000001"]


def test_debris_goes_and_everything_else_stays(folder: Checkpoints, tmp_path: Path) -> None:
    """Only our own names in folders without a mark go; links are not followed."""
    saved = save(folder, 1)
    (saved.path / ".state.h5.part").write_text("beside a mark")
    killed = folder.begin(2)
    for name in ("state.h5", "rank-00000.h5", ".rank-00001.h5.part", ".complete.json.part"):
        (killed / name).write_text("half")
    mixed = folder.begin(3)
    (mixed / "state.h5").write_text("half")
    (mixed / "notes.txt").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "state.h5").write_text("mine")
    linked = folder.begin(4)
    (linked / "state.h5").symlink_to(outside / "state.h5")
    (folder.folder / "step-000000005").symlink_to(outside)
    (folder.folder / "other").mkdir()
    (folder.folder / "other" / "state.h5").write_text("mine")
    (folder.folder / "step-6").mkdir()
    assert folder.clear_debris() == ["step-000000002", "step-000000003", "step-000000004"]
    assert folder.clear_debris() == []
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))
    base = "run/checkpoints"
    assert [name for name in found if not name.startswith(f"{base}/step-000000001")] == [
        "outside",
        "outside/state.h5",
        "run",
        base,
        f"{base}/other",
        f"{base}/other/state.h5",
        f"{base}/step-000000003",
        f"{base}/step-000000003/notes.txt",
        f"{base}/step-000000005",
        f"{base}/step-6",
    ]
    assert (saved.path / ".state.h5.part").exists()
    folder.check(saved)


def test_a_run_that_goes_on_from_an_older_one_never_meets_the_newer(folder: Checkpoints) -> None:
    """They are renamed, each to a name of its own, and count no longer; nothing is deleted."""
    first = save(folder, 1000)
    for _ in range(2):
        save(folder, 2000)
        (save(folder, 3000).path / "state.h5").write_text("damaged")
        made = folder.set_aside(first)
    assert made == ["aside-life-000-step-000002000-2", "aside-damaged-step-000003000-2"]
    assert sorted(p.name for p in folder.folder.iterdir()) == [
        "aside-damaged-step-000003000",
        "aside-damaged-step-000003000-2",
        "aside-life-000-step-000002000",
        "aside-life-000-step-000002000-2",
        "step-000001000",
    ]
    assert folder.complete() == [first]
    folder.begin(2000)
    later = save(folder, 500, life=1)
    assert folder.set_aside(later) == ["aside-life-000-step-000001000"]
    assert folder.newest() == later


def test_check_finds_one_flipped_bit_and_names_the_file(folder: Checkpoints) -> None:
    """Sizes are right, so only the checksum tells."""
    saved = save(folder, 7)
    path = saved.path / "rank-00001.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert folder.complete() == [saved]
    folder.check(saved, ["state.h5", "rank-00000.h5"])
    for wanted in (None, ["rank-00001.h5"]):
        with pytest.raises(CheckpointError, match=r"rank-00001\.h5: is damaged: its SHA-256"):
            folder.check(saved, wanted)
    with pytest.raises(CheckpointError, match=r"rank-00009\.h5: is not in complete\.json"):
        folder.check(saved, ["rank-00009.h5"])


def damages() -> dict[str, Any]:
    """Return ways to damage a checkpoint, by the fault that must be named."""

    def mark(**changes: Any) -> Any:
        def change(path: Path) -> None:
            value = json.loads((path / "complete.json").read_text())
            value.update(changes)
            (path / "complete.json").write_text(json.dumps(value))

        return change

    def text(data: bytes) -> Any:
        return lambda path: (path / "complete.json").write_bytes(data)

    def linked(name: str) -> Any:
        def change(path: Path) -> None:
            shutil.copy(path / name, path.parent.parent / "copy")
            (path / name).unlink()
            (path / name).symlink_to(path.parent.parent / "copy")

        return change

    def piped(path: Path) -> None:
        (path / "complete.json").unlink()
        os.mkfifo(path / "complete.json")

    good = {"size_bytes": 1, "sha256": "0" * 64}
    return {
        r"complete\.json: cannot be read: Expecting value": text(b""),
        r"complete\.json: cannot be read: .*codec": text(b'{"a": "\xff"}'),
        r"complete\.json: cannot be read: maximum recursion": text(b"[" * 100_000),
        r"complete\.json: cannot be read: NaN is no JSON": mark(facts={"x": float("nan")}),
        r"must hold \['facts'": mark(more=1),
        r"schema must be 1, found 2": mark(schema=2),
        r"schema must be an integer": mark(schema=True),
        r"steps must be those of the folder, found 8": mark(steps=8),
        r"steps must be a count": mark(steps=7.0),
        r"life must be a count below 2\^62": mark(life=1 << 62),
        r"life must be a count ": mark(life=-1),
        r"facts must be an object": mark(facts=[]),
        r"files must hold state\.h5": mark(files={}),
        r"found '\.\./state\.h5'": mark(files={"state.h5": good, "../state.h5": good}),
        r"state\.h5 must have size": mark(files={"state.h5": {}}),
        r"sha256 must be 64": mark(files={"state.h5": {"size_bytes": 1, "sha256": "0"}}),
        r"size_bytes must be a count": mark(files={"state.h5": {**good, "size_bytes": "1"}}),
        r"state\.h5: is \d+ bytes, complete\.json says 1$": mark(files={"state.h5": good}),
        r"rank-00001\.h5: cannot be read: no such": lambda p: (p / "rank-00001.h5").unlink(),
        r"state\.h5: must be a plain file": linked("state.h5"),
        r"complete\.json: cannot be read: too many levels": linked("complete.json"),
        r"complete\.json: must be a plain file": piped,
    }


@pytest.mark.parametrize("fault", damages())
def test_a_damaged_checkpoint_does_not_count_and_one_line_says_why(
    folder: Checkpoints, fault: str
) -> None:
    """The older one is the newest then; nothing is changed on disk."""
    older, newer = save(folder, 1), save(folder, 7)
    damages()[fault](newer.path)
    before = sorted((p.name, p.lstat().st_mtime_ns) for p in newer.path.iterdir())
    assert folder.newest() == older
    (line,) = folder.refused()
    assert line.startswith(f"checkpoint {newer.path}")
    assert "\n" not in line
    with pytest.raises(CheckpointError, match=fault):
        folder.find("7")
    assert before == sorted((p.name, p.lstat().st_mtime_ns) for p in newer.path.iterdir())
    assert folder.clear_debris() == []


def test_a_folder_that_is_a_link_is_no_checkpoint(folder: Checkpoints, tmp_path: Path) -> None:
    """It neither counts nor is it touched."""
    saved = save(folder, 7)
    saved.path.rename(tmp_path / "elsewhere")
    saved.path.symlink_to(tmp_path / "elsewhere")
    assert folder.complete() == []
    assert folder.prune(1) == []
    assert len(list((tmp_path / "elsewhere").iterdir())) == 4


def test_a_file_where_the_folder_belongs_is_named(tmp_path: Path) -> None:
    """Each method says so in one line."""
    (tmp_path / "checkpoints").write_text("")
    folder = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(CheckpointError, match="checkpoints: cannot be listed: not a directory"):
        folder.complete()
    with pytest.raises(CheckpointError, match="step-000000001: cannot be made: not a directory"):
        folder.begin(1)


def test_a_mark_that_no_reader_would_take_is_not_written(folder: Checkpoints) -> None:
    """The fault shows when it is made, not when a run is to go on."""
    path = folder.begin(1)
    written = write_checkpoint_file(path / "state.h5", {}, {})
    for files, facts in (({}, {}), ({"state.h5": written}, {"metric": float("nan")})):
        with pytest.raises(CheckpointError, match=r"complete\.json: cannot be written"):
            folder.mark_complete(1, 0, files, facts)
    assert [p.name for p in path.iterdir()] == ["state.h5"]
