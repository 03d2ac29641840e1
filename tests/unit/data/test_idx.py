"""Folders of IDX files."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.data.idx import IdxSource
from mpitrain.data.idx_file import read_idx

FASHION = Path("/usr/share/datasets/fashion-mnist")


def idx_bytes(array: np.ndarray) -> bytes:
    """Return the content of an IDX file."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def make_arrays() -> dict[str, np.ndarray]:
    """Return random images and labels by file name."""
    rng = np.random.default_rng(5)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (30, 5, 4), dtype=np.uint8),
        "train-labels-idx1-ubyte": (np.arange(30) % 6).astype(np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (9, 5, 4), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": (np.arange(9) % 6).astype(np.uint8),
    }


def write_folder(folder: Path, *, is_gzip: bool = False, dotted: bool = False) -> Path:
    """Write the four files and return their folder."""
    for name, array in make_arrays().items():
        spelling = name.replace("-idx", ".idx") if dotted else name
        content = idx_bytes(array)
        if is_gzip:
            (folder / f"{spelling}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / spelling).write_bytes(content)
    return folder


@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_folder_is_read_plain_or_gzipped(tmp_path: Path, is_gzip: bool, dotted: bool) -> None:
    """Images come out as pixel / 255 with their labels, whatever the spelling and packing."""
    source = IdxSource(write_folder(tmp_path, is_gzip=is_gzip, dotted=dotted))
    arrays = make_arrays()
    assert (source.num_samples, source.num_test) == (30, 9)
    assert source.sample_shape == (5, 4)
    assert source.num_classes == 6
    samples = np.array([29, 0, 13])
    x = np.empty((3, 5, 4), np.float32)
    y = np.empty(3, np.int64)
    source.gather_into(samples, x, y)
    images = arrays["train-images-idx3-ubyte"][samples].astype(np.float32)
    np.testing.assert_array_equal(x, images / np.float32(255))
    np.testing.assert_array_equal(y, arrays["train-labels-idx1-ubyte"][samples])
    (test,) = source.test_slices(np.float64)
    np.testing.assert_array_equal(test.x, arrays["t10k-images-idx3-ubyte"] / 255)


def test_packing_does_not_change_the_digest(tmp_path: Path) -> None:
    """The digest is of the images, not of the files."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    plain = IdxSource(write_folder(tmp_path / "plain"))
    packed = IdxSource(write_folder(tmp_path / "packed", is_gzip=True))
    assert plain.digest == packed.digest


def test_missing_file_is_named_with_where_to_get_such_files(tmp_path: Path) -> None:
    """The message says which file is missing and which Debian package installs a set."""
    (write_folder(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"no file t10k-labels-idx1-ubyte or .*gz.*dataset-fashion"):
        IdxSource(tmp_path)
    with pytest.raises(UserError, match=r"must be a folder .*nowhere.*dataset-fashion-mnist"):
        IdxSource(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^data\.path .*x cannot be read: file name too long$"):
        IdxSource(tmp_path / ("x" * 300))


@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with 00000803, found an empty file"),
        (b"\x00\x00", "begins with 00000803, found 0000"),
        (b"\x89HDF\r\n\x1a\n" * 4, "begins with 00000803, found 89484446"),
        (idx_bytes(np.zeros(7, np.uint8)), "3 dimension.* with 00000803, found 00000801"),
        (b"\x00\x00\x0d\x03" + bytes(12), "unsigned bytes .* found 00000d03"),
        (idx_bytes(np.zeros((2, 3, 4), np.uint8))[:11], "header takes 16 bytes, found 11"),
        (idx_bytes(np.zeros((2, 3, 4), np.uint8))[:-1], "24 bytes of elements, found 23; .*trunc"),
        (idx_bytes(np.zeros((2, 3, 4), np.uint8)) + b"x", "24 bytes of elements, found more"),
    ],
)
def test_foreign_or_truncated_file_is_refused(
    tmp_path: Path, content: bytes, message: str, is_gzip: bool
) -> None:
    """The error names the file, what an IDX file has there and what was found."""
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if is_gzip else content)
    with pytest.raises(UserError, match=f"images: .*{message}"):
        read_idx(path, 3)


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    """A cut or overwritten gzip stream is a UserError, not a traceback from zlib."""
    packed = bytearray(gzip.compress(idx_bytes(make_arrays()["train-images-idx3-ubyte"])))
    path = tmp_path / "images.gz"
    path.write_bytes(packed[:-20])
    with pytest.raises(UserError, match="gzip stream is truncated"):
        read_idx(path, 3)
    packed[40:60] = bytes(20)
    path.write_bytes(packed)
    with pytest.raises(UserError, match=r"images\.gz: cannot be read"):
        read_idx(path, 3)


@pytest.mark.parametrize("is_gzip", [False, True])
def test_lying_header_allocates_nothing_large(tmp_path: Path, is_gzip: bool) -> None:
    """A header that promises 2**96 bytes costs only the memory of what is really there."""
    content = struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3) + bytes(100)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if is_gzip else content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="found 100; the file is truncated"):
            read_idx(path, 3)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_images_and_labels_of_different_length_are_refused(tmp_path: Path) -> None:
    """Thirty images with twenty-nine labels are no data set."""
    name = "train-labels-idx1-ubyte"
    (write_folder(tmp_path) / name).write_bytes(idx_bytes(make_arrays()[name][1:]))
    with pytest.raises(UserError, match=r"data\.path .*got \(30, 5, 4\) and \(29,\)"):
        IdxSource(tmp_path)


@pytest.mark.fashion
@pytest.mark.skipif(not FASHION.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_real_fashion_mnist_is_read_completely() -> None:
    """The real files: 60,000 and 10,000 images, each of ten classes equally often."""
    source = IdxSource(FASHION)
    assert (source.num_samples, source.num_test) == (60_000, 10_000)
    assert source.sample_shape == (28, 28)
    assert source.num_classes == 10
    x = np.empty((60_000, 28, 28), np.float32)
    y = np.empty(60_000, np.int64)
    source.gather_into(np.arange(60_000), x, y)
    assert (x.min(), x.max()) == (0, 1)
    assert abs(x.mean() - 0.2860) < 1e-4
    np.testing.assert_array_equal(np.bincount(y), [6000] * 10)
    assert sum(len(batch.y) for batch in source.test_slices(np.float32)) == 10_000
