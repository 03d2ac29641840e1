"""HDF5 files larger than the memory they may take."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpitrain.core.batches import BatchOrder
from mpitrain.core.errors import ClosedError, UserError
from mpitrain.data import hdf5
from mpitrain.data.hdf5 import Hdf5Source
from mpitrain.data.source import ArraySource
from mpitrain.storage.arrays_file import write_arrays

ROWS = 6000
CHUNK = 50
SHAPE = (32, 64)
CACHE_BYTES = 5 << 20


def make_arrays(rows: int = ROWS) -> dict[str, np.ndarray]:
    """Return random images with labels of nine classes."""
    rng = np.random.default_rng(11)
    return {
        "train_x": rng.integers(0, 256, (rows, *SHAPE), dtype=np.uint8),
        "train_y": (np.arange(rows) % 9).astype(np.int32),
        "test_x": rng.integers(0, 256, (130, *SHAPE), dtype=np.uint8),
        "test_y": (np.arange(130) % 9).astype(np.int32),
    }


def in_memory(arrays: dict[str, np.ndarray], divisor: float = 255) -> ArraySource:
    """Return the truth to compare with."""
    return ArraySource.from_arrays(list(arrays.values()), divisor=divisor)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 12 MB of features in chunks of 100 KB."""
    path = tmp_path_factory.mktemp("hdf5") / "large.h5"
    write_arrays(path, make_arrays(), chunk_rows=CHUNK)
    return path


def test_one_pass_over_a_large_file_equals_memory_within_bounds(large: Path) -> None:
    """Batches equal those of the arrays in memory, while the cache stays below its limit.

    The pass is that of a training run, in batch order with prefetching. Nearly every block is
    read once and most of them by the thread; the file is more than twice the cache.
    """
    memory = in_memory(make_arrays())
    source = Hdf5Source(large, divisor=255, cache_bytes=CACHE_BYTES)
    order = BatchOrder(seed=1, batch_size=64, num_samples=ROWS, block=source.block)
    seen = np.zeros(ROWS, np.int64)
    num_tickets = -(-ROWS // 64)
    for ticket in range(num_tickets):
        samples = order.samples(ticket)
        x, expected_x = np.empty((2, len(samples), *SHAPE), np.float32)
        y, expected_y = np.empty((2, len(samples)), np.int64)
        source.gather_into(samples, x, y)
        source.prefetch(order.samples(min(ticket + 1, num_tickets - 1)))
        memory.gather_into(samples, expected_x, expected_y)
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(y, expected_y)
        assert source.cache.cached_bytes <= CACHE_BYTES
        seen[samples] += 1
    assert (seen == 1).all()
    num_blocks = -(-ROWS // source.block)
    num_read = source.cache.num_prefetched + source.cache.num_misses
    assert num_blocks <= num_read <= 1.2 * num_blocks
    assert source.cache.num_prefetched > 0
    source.close()


def test_memory_of_the_process_stays_bounded(tmp_path: Path) -> None:
    """A process that gathers all of a 96 MB file with 8 MiB of cache grows by less than 40 MB."""
    path = tmp_path / "file.h5"
    x = np.zeros((12_000, 8192), np.uint8)
    x[:, 0] = 7
    y = np.zeros(12_000, np.uint8)
    arrays = {"train_x": x, "train_y": y, "test_x": x[:10], "test_y": y[:10]}
    write_arrays(path, arrays, chunk_rows=32)
    program = """
import sys
import numpy as np
from mpitrain.data.hdf5 import Hdf5Source

def peak_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

source = Hdf5Source(sys.argv[1], cache_bytes=8 << 20)
x, y = np.empty((100, 8192), np.float32), np.empty(100, np.int64)
source.gather_into(np.arange(100), x, y)
before = peak_kb()
for start in range(0, 12_000, 100):
    source.gather_into(np.arange(start, start + 100), x, y)
    source.prefetch(np.arange(start + 50, min(start + 150, 12_000)))
    assert (x[:, 0] == 7).all()
source.close()
print(peak_kb() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
    )
    assert int(done.stdout) < 40_000


@pytest.mark.parametrize(("chunk_rows", "compression"), [(None, None), (7, None), (300, "gzip")])
def test_any_storage_gives_the_same_batches_slices_and_digest(
    tmp_path: Path, chunk_rows: int | None, compression: str | None
) -> None:
    """In one piece, in small chunks or compressed: the same as the arrays in memory."""
    arrays = make_arrays(1000)
    path = tmp_path / "file.h5"
    write_arrays(path, arrays, chunk_rows=chunk_rows, compression=compression)
    memory = in_memory(arrays)
    source = Hdf5Source(path, divisor=255)
    samples = np.random.default_rng(0).permutation(1000)
    x, expected_x = np.empty((2, 1000, *SHAPE), np.float64)
    y, expected_y = np.empty((2, 1000), np.int64)
    source.gather_into(samples, x, y)
    memory.gather_into(samples, expected_x, expected_y)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(y, expected_y)
    for ours, theirs in zip(
        source.test_slices(np.float32, 50), memory.test_slices(np.float32, 50), strict=True
    ):
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.y, theirs.y)
    assert source.digest == memory.digest
    assert source.num_classes == 9
    assert source.sample_shape == SHAPE
    assert (source.num_samples, source.num_test) == (1000, 130)
    source.close()


@pytest.mark.parametrize(
    ("chunk_rows", "block"),
    [(None, 128), (1, 128), (50, 100), (127, 127), (300, 300), (5000, 1000)],
)
def test_block_is_whole_chunks_of_a_useful_size(
    tmp_path: Path, chunk_rows: int | None, block: int
) -> None:
    """A block is a chunk, or as many whole chunks of 2 KiB rows as fit into 256 KiB."""
    path = tmp_path / "file.h5"
    write_arrays(path, make_arrays(1000), chunk_rows=chunk_rows)
    source = Hdf5Source(path)
    assert source.block == block
    source.close()


def test_cache_too_small_for_a_group_of_chunks_is_refused(large: Path) -> None:
    """The message says how many bytes it takes; with these it opens."""
    least = 16 * 100 * 2048
    with pytest.raises(UserError, match=f"data.cache_bytes must be >= {least}, got {least - 1}:"):
        Hdf5Source(large, cache_bytes=least - 1)
    Hdf5Source(large, cache_bytes=least).close()


def test_damage_met_by_the_thread_reaches_the_next_gather(tmp_path: Path) -> None:
    """A chunk that cannot be decompressed is a UserError with file and rows, also from the thread.

    Other blocks stay readable.
    """
    path = tmp_path / "file.h5"
    write_arrays(path, make_arrays(1000), chunk_rows=200, compression="gzip")
    with h5py.File(path) as file:
        where = file["train_x"].id.get_chunk_info(2).byte_offset
    with path.open("r+b") as raw:
        raw.seek(where)
        raw.write(bytes(1000))
    source = Hdf5Source(path)
    x, y = np.empty((1, *SHAPE), np.float32), np.empty(1, np.int64)
    message = r"file\.h5: rows 400 to 600 of array 'train_x' cannot be read"
    with pytest.raises(UserError, match=message):
        source.gather_into(np.array([500]), x, y)
    source.prefetch(np.array([500]))
    with pytest.raises(UserError, match=message):
        source.gather_into(np.array([500]), x, y)
    source.gather_into(np.array([700]), x, y)
    assert y[0] == 700 % 9
    source.close()


def test_close_ends_the_thread_and_the_file(large: Path) -> None:
    """After close the file is free, no thread is left, and use is an error; twice is fine."""
    source = Hdf5Source(large)
    source.prefetch(np.arange(3000))
    assert any(thread.name == "mpitrain-prefetch" for thread in threading.enumerate())
    source.close()
    source.close()
    assert not any(thread.name == "mpitrain-prefetch" for thread in threading.enumerate())
    with pytest.raises(ClosedError, match="already closed"):
        source.gather_into(np.array([0]), np.empty((1, *SHAPE)), np.empty(1, np.int64))
    with pytest.raises(ClosedError, match="already closed"):
        source.prefetch(np.array([0]))
    with pytest.raises(ClosedError, match="already closed"):
        next(source.test_slices(np.float32))


def test_arrays_may_have_other_names(tmp_path: Path) -> None:
    """Names are settings, also inside groups; the digest does not depend on them."""
    arrays = make_arrays(100)
    path = tmp_path / "file.h5"
    names = ["train/images", "train/labels", "x", "y"]
    write_arrays(path, dict(zip(names, arrays.values(), strict=True)))
    source = Hdf5Source(
        path, train_x="train/images", train_y="train/labels", test_x="x", test_y="y", divisor=255
    )
    assert source.digest == in_memory(arrays).digest
    source.close()
    with pytest.raises(UserError, match="array 'train_x' is not there; arrays: train/images, "):
        Hdf5Source(path)


def test_digest_of_a_large_file_reads_a_part_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the digest is marked, reads little, and still sees ends and labels."""
    monkeypatch.setattr(hdf5, "_WHOLE_DIGEST_BYTES", 1 << 20)
    monkeypatch.setattr(hdf5, "_SAMPLED_PIECES", 3)
    digests = []
    for name, row in (("train_x", None), ("train_x", 0), ("train_x", -1), ("train_y", 2000)):
        arrays = make_arrays(4096)
        if row is not None:
            arrays[name][row] += 1
        path = tmp_path / f"{len(digests)}.h5"
        write_arrays(path, arrays)
        source = Hdf5Source(path)
        digests.append(source.digest)
        source.close()
    assert all(digest.startswith("sampled:") and len(digest) == 72 for digest in digests)
    assert len(set(digests)) == len(digests)


def test_arrays_that_do_not_fit_are_refused_and_the_file_is_released(tmp_path: Path) -> None:
    """Lengths, shapes, types and labels are checked at the start, with file and array named."""
    path = tmp_path / "file.h5"
    good = make_arrays(100)
    wrong = {
        r"train features .* got \(100, 32, 64\) and \(99,\)": {"train_y": good["train_y"][1:]},
        "train labels must be integers, got float64": {"train_y": good["train_y"] / 1.0},
        r"samples of 'train_x' have shape \(32, 64\), of 'test_x' \(64, 32\)": {
            "test_x": good["test_x"].reshape(130, 64, 32)
        },
        "test labels must be >= 0, got -1 at sample 0": {"test_y": good["test_y"] - 1},
        "array 'test_x' must hold numbers in rows, found .*S3": {"test_x": np.array([b"abc"])},
    }
    for message, changes in wrong.items():
        write_arrays(path, good | changes)
        with pytest.raises(UserError, match=message) as caught:
            Hdf5Source(path)
        with h5py.File(path, "r+"):  # an open file would refuse this
            assert caught.tb is not None  # and is not closed by losing its last reference
