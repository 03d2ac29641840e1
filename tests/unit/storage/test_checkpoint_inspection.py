"""HDF5 files from strangers: what no checkpoint needs is refused in one line, and never read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from mpitrain.core.errors import CheckpointError
from mpitrain.storage.checkpoint_file import CheckpointFile

Maker = Callable[[h5py.File], None]
ROW = np.arange(8.0)


def reserved(file: h5py.File, shape: tuple[int, ...]) -> None:
    """Create a dataset that has a shape and no bytes."""
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_layout(h5d.CONTIGUOUS)
    h5d.create(file.id, b"a", h5t.NATIVE_DOUBLE, h5s.create_simple(shape), layout)


def compact(file: h5py.File) -> None:
    """Create a dataset inside an object header."""
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_layout(h5d.COMPACT)
    h5d.create(file.id, b"a", h5t.NATIVE_DOUBLE, h5s.create_simple((8,)), layout)


def external(file: h5py.File) -> None:
    """Create a dataset whose bytes are in a file that a checkpoint must not read."""
    file.create_dataset("a", (8,), "f8", external=[("/etc/hostname", 0, 64)])


def virtual(file: h5py.File) -> None:
    """Create a dataset that another file's shows through."""
    layout = h5py.VirtualLayout((8,), "f8")
    layout[:] = h5py.VirtualSource("/etc/hostname", "a", (8,))
    file.create_virtual_dataset("a", layout)


def odd_float(file: h5py.File) -> None:
    """Create a dataset of a floating-point type that no machine has."""
    dtype = h5t.IEEE_F64LE.copy()
    dtype.set_fields(63, 50, 13, 0, 50)
    space = h5s.create_simple((8,))
    h5d.create(file.id, b"a", dtype, space).write(h5s.ALL, h5s.ALL, ROW)


def nested(file: h5py.File) -> None:
    """Create groups in groups in groups."""
    file["/".join("abcdefghijk")] = ROW


def cyclic(file: h5py.File) -> None:
    """Create a group that holds itself."""
    file.create_group("a")["again"] = file["/"]


def crowded(file: h5py.File) -> None:
    """Create more objects than any checkpoint has."""
    item = file.create_dataset("a", data=ROW)
    for number in range(10_001):
        file[f"b{number}"] = item


FAULTS: dict[str, tuple[str, Maker]] = {
    "soft link": ("'a' is a link to el", lambda f: f.update({"a": h5py.SoftLink("/b")})),
    "external link": (
        "'a' is a link to el",
        lambda f: f.update({"a": h5py.ExternalLink("/etc/hostname", "/b")}),
    ),
    "dangling in a group": (
        "'g/a' is a link to el",
        lambda f: f.create_group("g").update({"a": h5py.SoftLink("/none")}),
    ),
    "type": ("'a' is neither a group", lambda f: f.update({"a": np.dtype("f8")})),
    "chunks": ("'a' must lie in", lambda f: f.create_dataset("a", data=ROW, chunks=(2,))),
    "gzip": ("'a' must lie in", lambda f: f.create_dataset("a", data=ROW, compression="gzip")),
    "compact": ("'a' must lie in", compact),
    "external": ("'a' must lie in", external),
    "virtual": ("'a' must lie in", virtual),
    "no bytes": (r"'a' of shape \(8,\) does not lie", lambda f: reserved(f, (8,))),
    "huge": ("'a' of shape .* does not lie", lambda f: reserved(f, (1 << 40, 1 << 15))),
    "null space": ("'a' has no shape", lambda f: f.update({"a": h5py.Empty("f8")})),
    "texts": ("'a' must hold plain numbers", lambda f: f.update({"a": ["x", "y"]})),
    "bytes": ("'a' must hold plain numbers", lambda f: f.update({"a": np.array([b"x"])})),
    "complex": ("'a' must hold plain", lambda f: f.update({"a": ROW * 1j})),
    "records": ("'a' must hold", lambda f: f.update({"a": np.zeros(2, [("x", "f4")])})),
    "references": (
        "'a' must hold plain numbers",
        lambda f: f.create_dataset("a", (1,), h5py.ref_dtype),
    ),
    "odd floats": ("array 'a'|cannot be read", odd_float),
    "long double": ("'a' must hold plain", lambda f: f.update({"a": np.zeros(2, np.longdouble)})),
    "nested": ("more than 10000 objects or 8 levels", nested),
    "cyclic": ("more than 10000 objects or 8 levels", cyclic),
    "crowded": ("more than 10000 objects or 8 levels", crowded),
    "text attribute of any length": (
        "attribute 'x' must be one number or one text",
        lambda f: f.attrs.update({"x": "text"}),
    ),
    "array attribute": ("attribute 'x' must be one", lambda f: f.attrs.update({"x": ROW})),
    "no Unicode": (
        "cannot be read: .*codec can't decode",
        lambda f: f.attrs.create("x", b"\xff\xfe", dtype=h5py.string_dtype("utf-8", 2)),
    ),
    "bad offset": (
        "attribute offset must be an integer >= 0, found -1",
        lambda f: f.create_dataset("a", data=ROW).attrs.update({"offset": -1}),
    ),
    "ugly name": (
        r"'\\x1b\[31m\\n' is a link",
        lambda f: f.update({"\x1b[31m\n": h5py.SoftLink("/b")}),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_checkpoint_needs_is_refused(tmp_path: Path, fault: str) -> None:
    """The line names the file and what is wrong with what."""
    message, make = FAULTS[fault]
    path = tmp_path / "state.h5"
    with h5py.File(path, "w") as file:
        file["good"] = ROW
        make(file)
    with pytest.raises(CheckpointError, match=message) as caught:
        CheckpointFile(path)
    line = str(caught.value)
    assert line.startswith(f"checkpoint {path}: ")
    assert line.isprintable()
    assert len(line) < 600


def test_a_user_block_is_refused(tmp_path: Path) -> None:
    """What lies before the HDF5 file could be anything."""
    with h5py.File(tmp_path / "state.h5", "w", userblock_size=512) as file:
        file["a"] = ROW
    with pytest.raises(CheckpointError, match=r"state\.h5: cannot be read: a user block"):
        CheckpointFile(tmp_path / "state.h5")


def test_plain_files_of_other_writers_are_read(tmp_path: Path) -> None:
    """Any program may prepare a checkpoint; big-endian numbers keep their dtype."""
    for version in ("earliest", "latest"):
        with h5py.File(tmp_path / "state.h5", "w", libver=version) as file:
            file["g/a"] = ROW.astype(">f8")
            file["b"] = 3
            file.attrs["x"] = 2.5
        with CheckpointFile(tmp_path / "state.h5") as checkpoint:
            assert checkpoint.keys == ("b", "g/a")
            assert checkpoint.dtype("g/a") == np.dtype(">f8")
            np.testing.assert_array_equal(checkpoint.read("g/a", most_bytes=64), ROW)
            assert checkpoint.attributes == {"x": 2.5}


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "text", "empty", "nothing"])
def test_only_plain_hdf5_files_are_opened(tmp_path: Path, kind: str) -> None:
    """A pipe does not block, a link is not followed."""
    path = tmp_path / "state.h5"
    with h5py.File(tmp_path / "real.h5", "w") as file:
        file["a"] = ROW
    {
        "link": lambda: path.symlink_to("real.h5"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "text": lambda: path.write_text("no HDF5"),
        "empty": path.touch,
        "nothing": lambda: None,
    }[kind]()
    with pytest.raises(CheckpointError, match=r"^checkpoint .*state\.h5: (cannot|must) be"):
        CheckpointFile(path)
