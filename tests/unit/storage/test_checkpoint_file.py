"""One file of a checkpoint: what is written, what comes back, and how the disk may fail."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.core.errors import CheckpointError, ClosedError
from mpitrain.storage import checkpoint_skeleton, durable
from mpitrain.storage.checkpoint_file import CheckpointFile, Written, write_checkpoint_file

ARRAYS = {
    "parameters/w1": np.arange(60, dtype=np.float32).reshape(6, 10),
    "parameters/empty": np.zeros((0, 3), np.float32),
    "parameters/layer/b": np.arange(3, dtype=np.float64),
    "versions": np.arange(4),
    "optimizer/velocity": np.array([np.nan, np.inf, 1.0]),
    "seen": np.array([True, False]),
    "scalar": np.array(7, np.int16),
    "half": np.arange(5, dtype=np.float16),
}
ATTRIBUTES: dict[str, str | int | float] = {
    "run_id": "näh",
    "steps": (1 << 62) - 1,
    "rate": 0.1,
    "nothing": "",
}
OFFSETS = {"parameters/w1": 0, "parameters/layer/b": 60}


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Names, shapes, dtypes, values, attributes and offsets come back; so do size and SHA-256."""
    path = tmp_path / "state.h5"
    written = write_checkpoint_file(path, ATTRIBUTES, ARRAYS, OFFSETS)
    data = path.read_bytes()
    assert written == Written(len(data), hashlib.sha256(data).hexdigest())
    with CheckpointFile(path, written) as file:
        assert file.keys == tuple(sorted(ARRAYS))
        assert file.attributes == ATTRIBUTES
        assert {type(value) for value in file.attributes.values()} == {str, int, float}
        for name, array in ARRAYS.items():
            assert (file.shape(name), file.dtype(name)) == (array.shape, array.dtype)
            assert file.offset(name) == OFFSETS.get(name)
            out = np.ones_like(array)
            file.read_into(name, out)
            np.testing.assert_array_equal(out, array)
            np.testing.assert_array_equal(file.read(name, most_bytes=array.nbytes), array)
    assert names_in(tmp_path) == ["state.h5"]


def test_any_hdf5_tool_reads_the_file(tmp_path: Path) -> None:
    """It is plain HDF5, with the attribute of the contract."""
    write_checkpoint_file(tmp_path / "state.h5", ATTRIBUTES, ARRAYS, OFFSETS)
    with h5py.File(tmp_path / "state.h5") as file:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name][()], array)
            assert file[name].dtype == array.dtype
        assert file["parameters/layer/b"].attrs["offset"] == 60
        assert file.attrs["run_id"].decode() == "näh"


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """No time and no address gets into the file."""
    first = write_checkpoint_file(tmp_path / "one.h5", ATTRIBUTES, ARRAYS, OFFSETS)
    assert first == write_checkpoint_file(tmp_path / "two.h5", ATTRIBUTES, ARRAYS, OFFSETS)


def test_arrays_that_are_not_in_c_order_are_copied(tmp_path: Path) -> None:
    """Transposed and strided arrays come back in their own shape."""
    square = np.arange(12.0).reshape(3, 4)
    arrays = {"parameters/t": square.T, "strided": square[:, ::2]}
    write_checkpoint_file(tmp_path / "state.h5", {}, arrays)
    with CheckpointFile(tmp_path / "state.h5") as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.read(name, most_bytes=1000), array)


def test_many_blocks_are_one_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks end anywhere in an array; the digest is that of the whole."""
    monkeypatch.setattr(checkpoint_skeleton, "BLOCK_BYTES", 56)
    path = tmp_path / "state.h5"
    written = write_checkpoint_file(path, ATTRIBUTES, ARRAYS, OFFSETS)
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with CheckpointFile(path, written) as file:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file.read(name, most_bytes=1000), array)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_parameters_that_are_not_finite_are_refused(tmp_path: Path, value: str) -> None:
    """The old file stays; optimiser states may hold anything."""
    path = tmp_path / "state.h5"
    write_checkpoint_file(path, {}, ARRAYS)
    before = path.read_bytes()
    bad = np.zeros(3_000_000, np.float32)
    bad[-1] = float(value)
    with pytest.raises(CheckpointError, match=rf"^parameter 'w' holds {value}; .*state\.h5"):
        write_checkpoint_file(path, {}, {"parameters/w": bad})
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["state.h5"]


def test_another_shape_or_dtype_is_named_with_both(tmp_path: Path) -> None:
    """Nothing is read into an array that does not fit."""
    path = tmp_path / "state.h5"
    write_checkpoint_file(path, {}, ARRAYS)
    with CheckpointFile(path) as file:
        out = np.zeros((10, 6), np.float32)
        message = (
            r"checkpoint .*state\.h5: parameter 'w1' is \(6, 10\) float32 on disk, "
            r"\(10, 6\) float32 is expected"
        )
        with pytest.raises(CheckpointError, match=message):
            file.read_into("parameters/w1", out)
        with pytest.raises(CheckpointError, match=r"array 'versions' is .*int64 .* int32 is exp"):
            file.read_into("versions", np.zeros(4, np.int32))
        with pytest.raises(CheckpointError, match="array 'versions' takes 32 bytes, at most 31"):
            file.read("versions", most_bytes=31)
        with pytest.raises(CheckpointError, match="parameter 'w2' is not there; arrays: half, op"):
            file.shape("parameters/w2")
        assert not out.any()


def test_closed_file_says_so(tmp_path: Path) -> None:
    """Close twice is fine; use afterwards is an error that names the file."""
    write_checkpoint_file(tmp_path / "state.h5", {}, ARRAYS)
    file = CheckpointFile(tmp_path / "state.h5")
    file.close()
    file.close()
    with pytest.raises(ClosedError, match=r"state\.h5: already closed"):
        file.shape("versions")


def test_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Neither a good file nor a refused one keeps anything open."""
    path = tmp_path / "state.h5"
    written = write_checkpoint_file(path, {}, ARRAYS)
    (tmp_path / "bad.h5").write_bytes(path.read_bytes()[:-1])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208, no path is needed
    for _ in range(5):
        with CheckpointFile(path, written):
            pass
        for expected in (None, written):
            with pytest.raises(CheckpointError):
                CheckpointFile(tmp_path / "bad.h5", expected)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208, as above


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on device"),
        (errno.EDQUOT, "disk quota exceeded"),
        (errno.EIO, "input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "close"])
def test_a_failing_disk_is_one_line_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str
) -> None:
    """The old file stays, the temporary one goes; the next attempt works."""
    path = tmp_path / "state.h5"
    old = write_checkpoint_file(path, {}, ARRAYS)
    real: Callable[..., object] = getattr(os, call)

    def fail(descriptor: int, *rest: object) -> object:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name != ".state.h5.part":
            return real(descriptor, *rest)
        if call == "close":
            real(descriptor)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        message = rf"^checkpoint .*state\.h5: cannot be written: {words}$"
        with pytest.raises(CheckpointError, match=message):
            write_checkpoint_file(path, {}, {"parameters/w": np.zeros(5_000_000)})
    CheckpointFile(path, old).close()
    assert names_in(tmp_path) == ["state.h5"]
    assert write_checkpoint_file(path, {}, ARRAYS) == old


def test_a_vanished_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the file is made, and while it is written."""
    path = tmp_path / "step" / "state.h5"
    message = r"step/state\.h5: cannot be written: no such file or directory$"
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint_file(path, {}, ARRAYS)
    path.parent.mkdir()
    vanish = {"rename": lambda: shutil.rmtree(path.parent)}
    monkeypatch.setattr(durable, "reached", lambda phase: vanish.get(phase, lambda: None)())
    with pytest.raises(CheckpointError, match=message):
        write_checkpoint_file(path, {}, ARRAYS)


@pytest.mark.parametrize(
    ("attributes", "arrays"),
    [
        ({"text": "x" * 70_000}, {}),
        ({"number": 1 << 70}, {}),
        ({}, {"a": np.array(["text"], object)}),
        ({}, {"a": np.zeros(2, np.complex64)}),
        ({}, {"a": np.zeros(2, np.longdouble)}),
        ({}, {"a": np.zeros(2), "a/b": np.zeros(2)}),
    ],
)
def test_what_hdf5_cannot_hold_is_one_line(
    tmp_path: Path, attributes: dict[str, str | int], arrays: dict[str, np.ndarray]
) -> None:
    """Whatever HDF5 raises, the file is named and nothing is left."""
    with pytest.raises(CheckpointError, match=r"^checkpoint .*state\.h5: cannot be written: .+$"):
        write_checkpoint_file(tmp_path / "state.h5", attributes, arrays)
    assert names_in(tmp_path) == []


def test_writing_takes_a_few_blocks_of_memory(
    tmp_path: Path, peak_bytes: Callable[[Callable[[], object]], int]
) -> None:
    """The arrays are neither copied for writing nor for reading."""
    big = {"parameters/w": np.ones(24 << 20, np.float32)}
    path = tmp_path / "state.h5"
    assert peak_bytes(lambda: write_checkpoint_file(path, {}, big)) < 8 << 20
    out = np.zeros(24 << 20, np.float32)

    def read() -> None:
        with CheckpointFile(path) as file:
            file.read_into("parameters/w", out)

    assert peak_bytes(read) < 1 << 20
    assert out.all()


def test_training_goes_on_while_a_thread_writes(tmp_path: Path) -> None:
    """The writer holds the interpreter's lock only briefly: another thread keeps computing."""
    big = {"parameters/w": np.ones(24 << 20, np.float32)}
    writer = threading.Thread(target=write_checkpoint_file, args=(tmp_path / "s.h5", {}, big))
    steps, longest_s = 0, 0.0
    small = np.ones(1000)
    writer.start()
    last = time.perf_counter()
    while writer.is_alive():
        small = small * 0.5 + 1
        now = time.perf_counter()
        longest_s, last, steps = max(longest_s, now - last), now, steps + 1
    writer.join()
    assert steps > 1000
    assert longest_s < 1.0  # a block takes some ms; the rest is for a busy machine
