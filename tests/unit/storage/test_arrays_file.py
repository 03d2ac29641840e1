"""Files of named arrays."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.core.errors import ClosedError, UserError
from mpitrain.storage.arrays_file import ArrayFile, write_arrays

ARRAYS = {
    "a": np.arange(60, dtype=np.float32).reshape(20, 3),
    "group/b": np.arange(7, dtype=np.int16),
}


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Names, shapes, types, values and attributes come back, whole and by rows."""
    path = tmp_path / "file.h5"
    write_arrays(path, ARRAYS, attributes={"source": "näh", "seed": 3}, chunk_rows=8)
    with ArrayFile(path) as file:
        assert file.keys == ("a", "group/b")
        assert file.attributes == {"source": "näh", "seed": 3}
        assert type(file.attributes["seed"]) is int
        assert file.shape("a") == (20, 3)
        assert file.dtype("group/b") == np.int16
        assert (file.chunk_rows("a"), file.chunk_rows("group/b")) == (8, 7)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file.read(name), array)
        out = np.empty((5, 3), np.float32)
        file.read_rows("a", 6, 11, out)
        np.testing.assert_array_equal(out, ARRAYS["a"][6:11])
        file.read_rows("a", 20, 20, out[:0])


def test_array_in_one_piece_has_no_chunks(tmp_path: Path) -> None:
    """Without ``chunk_rows`` an array is contiguous, and ``chunk_rows`` says None."""
    write_arrays(tmp_path / "file.h5", ARRAYS)
    with ArrayFile(tmp_path / "file.h5") as file:
        assert file.chunk_rows("a") is None


def test_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    """No time and no address gets into the file."""
    for name in ("one.h5", "two.h5"):
        write_arrays(tmp_path / name, ARRAYS, attributes={"x": "text"}, chunk_rows=4)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    with h5py.File(tmp_path / "one.h5") as file:
        assert h5py.h5g.get_objinfo(file.id, b"a").mtime == 0


def test_write_replaces_in_one_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A reader of the old file keeps it; the folder holds the new file only."""
    path = tmp_path / "file.h5"
    write_arrays(path, {"a": np.zeros(3)})
    with ArrayFile(path) as old:
        write_arrays(path, {"a": np.ones(3)})
        np.testing.assert_array_equal(old.read("a"), np.zeros(3))
    with ArrayFile(path) as new:
        np.testing.assert_array_equal(new.read("a"), np.ones(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.h5"]


def test_foreign_truncated_and_missing_files_are_refused(tmp_path: Path) -> None:
    """The error names the file, what is expected and what is there."""
    (tmp_path / "text.h5").write_text("no HDF5 here")
    write_arrays(tmp_path / "cut.h5", {"a": np.zeros(10_000)})
    with (tmp_path / "cut.h5").open("r+b") as file:
        file.truncate(20_000)
    for name, message in {
        "text.h5": r"text\.h5: an HDF5 file is expected, this is not one",
        "cut.h5": r"cut\.h5: cannot be opened, truncated",
        "none.h5": r"none\.h5: an HDF5 file is expected, found nothing",
        ".": "an HDF5 file is expected, found a folder",
        "x" * 300: "x: cannot be read: file name too long",
    }.items():
        with pytest.raises(UserError, match=message):
            ArrayFile(tmp_path / name)


def test_unknown_name_lists_the_arrays_there_are(tmp_path: Path) -> None:
    """A wrong name is answered with the right ones; a group is not an array."""
    write_arrays(tmp_path / "file.h5", ARRAYS)
    with ArrayFile(tmp_path / "file.h5") as file:
        with pytest.raises(UserError, match="array 'c' is not there; arrays: a, group/b"):
            file.shape("c")
        with pytest.raises(UserError, match="array 'group' is a group; arrays: a, group/b"):
            file.read("group")


def test_texts_and_scalars_are_refused(tmp_path: Path) -> None:
    """Only rows of numbers are read: no strings, no objects, no pickles."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["text"] = ["abc", "d"]
        file["scalar"] = 3.0
        file["empty"] = h5py.Empty("f4")
    with ArrayFile(path) as file:
        for name in ("text", "scalar", "empty"):
            with pytest.raises(UserError, match=f"array '{name}' must hold numbers in rows"):
                file.read(name)


def test_closed_file_says_so(tmp_path: Path) -> None:
    """Close twice is fine; use afterwards is an error that names the file."""
    write_arrays(tmp_path / "file.h5", ARRAYS)
    file = ArrayFile(tmp_path / "file.h5")
    file.read("a")
    file.close()
    file.close()
    with pytest.raises(ClosedError, match=r"file\.h5: already closed"):
        file.read("a")
    with pytest.raises(ClosedError, match=r"file\.h5: already closed"):
        _ = file.keys
