"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mpitrain.storage import durable


def test_a_file_is_replaced_in_one_stroke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rename the old content is read; the phases come in their order."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen: list[tuple[str, bytes]] = []
    monkeypatch.setattr(durable, "reached", lambda phase: seen.append((phase, path.read_bytes())))
    durable.write_bytes(path, b"new")
    phases = ["temporary", "data", "fsync", "rename"]
    assert seen == [(phase, b"old") for phase in phases]
    durable.write_bytes(path, b"newer", last_phase="completion")
    assert seen[-1] == ("completion", b"new")
    assert path.read_bytes() == b"newer"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_file_then_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before the rename, the folder after it, and parents of a new folder too."""
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    durable.write_bytes(tmp_path / "file", b"data")
    assert synced == [".file.part", tmp_path.name]
    synced.clear()
    durable.make_folder(tmp_path / "a" / "b")
    durable.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path.name, "a"]


@pytest.mark.parametrize("phase", ["temporary", "data", "fsync", "rename"])
def test_a_failure_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """Whatever the moment, the temporary file is removed."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(now: str) -> None:
        if now == phase:
            raise OSError(errno.EIO, "no luck")

    monkeypatch.setattr(durable, "reached", fail)
    with pytest.raises(OSError, match="no luck"):
        durable.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_leftover_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    """The temporary file is always a new one."""
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / ".file.part").symlink_to(tmp_path / "precious")
    durable.write_bytes(tmp_path / "file", b"data")
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, memoryview(data)[:3]))
    durable.write_bytes(tmp_path / "file", bytes(range(100)))
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


def test_making_a_folder_where_a_file_is_fails(tmp_path: Path) -> None:
    """A file in the way is not mistaken for the folder."""
    (tmp_path / "a").write_text("")
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(NotADirectoryError, match="Not a directory"):
            durable.make_folder(folder)
