"""Samples in an HDF5 file that need not fit into memory.

Training features are read in blocks of whole chunks through a bounded cache; a thread reads the
blocks of the next batch while this one is computed. Labels (8 bytes per sample) are held whole;
test features are read in order, slice by slice, and not kept.

The batch order visits the blocks in groups (see ``core.batches``), so the cache must hold one
group. A cache that cannot is refused at the start, because every batch would then read whole
chunks for a few samples each.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.core.batch import Batch
from mpitrain.core.batches import BLOCKS_PER_GROUP
from mpitrain.core.errors import UserError
from mpitrain.data.block_cache import BlockCache
from mpitrain.data.checks import check_shapes, check_types, checked_num_classes
from mpitrain.data.digest import Digest
from mpitrain.storage.arrays_file import ArrayFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

_BLOCK_BYTES = 1 << 18
_WHOLE_DIGEST_BYTES = 1 << 28
_SAMPLED_PIECES = 16


class Hdf5Source:
    """Four arrays of an HDF5 file, the training features read block by block.

    A block is one chunk, or as many whole chunks as fit into 256 KiB where chunks are smaller; an
    array stored in one piece is cut into blocks of that size. It depends on the file alone, so the
    order of samples does too.

    Args:
        path: the file.
        train_x: name of the training features, (N, ...), real numbers.
        train_y: name of the training labels, (N,), integers.
        test_x: name of the test features, (M, ...); M may be 0.
        test_y: name of the test labels, (M,).
        divisor: features are ``x / divisor`` in the type of the batch.
        num_classes: ``None`` takes the largest label + 1.
        cache_bytes: most memory for cached training features.

    Raises:
        UserError: no such file or array, arrays that don't fit together, a label out of range, or
            a cache too small for the file's chunks.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        train_x: str = "train_x",
        train_y: str = "train_y",
        test_x: str = "test_x",
        test_y: str = "test_y",
        divisor: float = 1.0,
        num_classes: int | None = None,
        cache_bytes: int = 64 << 20,
    ) -> None:
        """Open the file, read the labels, check everything; starts no thread yet."""
        self._file = ArrayFile(path)
        self._train_x = train_x
        self._test_x = test_x
        self._divisor = float(divisor)
        try:
            self._y_train = self._read_labels("train", train_x, train_y)
            self._y_test = self._read_labels("test", test_x, test_y)
            self._check_sample_shapes()
            self.num_classes = checked_num_classes(
                f"data file {path}", num_classes, train=self._y_train, test=self._y_test
            )
            self.block = self._choose_block()
            self.cache = BlockCache(self._read_block, self._choose_capacity(cache_bytes))
        except BaseException:
            self._file.close()
            raise

    @property
    def num_samples(self) -> int:
        """Number of training samples."""
        return len(self._y_train)

    @property
    def num_test(self) -> int:
        """Number of test samples."""
        return len(self._y_test)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._file.shape(self._train_x)[1:]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the data, hexadecimal; of a part of it, marked ``sampled:``, when large.

        Up to 256 MiB of features all bytes count, and the digest equals that of the same arrays in
        memory. Beyond that each array of features is represented by its shape, its type and 16
        pieces of 1 MiB spread evenly from its beginning to its end; labels always count whole.
        """
        size = sum(self._num_bytes(name) for name in (self._train_x, self._test_x))
        is_sampled = size > _WHOLE_DIGEST_BYTES
        digest = Digest(self._divisor)
        self._add_features(digest, "train_x", self._train_x, is_sampled=is_sampled)
        _add_labels(digest, "train_y", self._y_train)
        self._add_features(digest, "test_x", self._test_x, is_sampled=is_sampled)
        _add_labels(digest, "test_y", self._y_test)
        return f"sampled:{digest.hexadecimal()}" if is_sampled else digest.hexadecimal()

    def gather_into(
        self, samples: npt.NDArray[np.int64], x: npt.NDArray[Any], y: npt.NDArray[np.int64]
    ) -> None:
        """Copy a batch out of the training samples (see Source), reading what is not cached.

        Raises:
            ClosedError: the source was closed.
            UserError: the file is damaged; also when the thread met the damage.
        """
        numbers, rows = (part.tolist() for part in np.divmod(samples, self.block))
        present = -1
        for place in sorted(range(len(samples)), key=numbers.__getitem__):
            if numbers[place] != present:
                present = numbers[place]
                block = self.cache.block(present)
            x[place] = block[rows[place]]
        self._y_train.take(samples, 0, y, "clip")
        if self._divisor != 1.0:
            np.divide(x, self._divisor, out=x)

    def prefetch(self, samples: npt.NDArray[np.int64]) -> None:
        """Let the thread read the blocks of these samples; returns at once.

        Raises:
            ClosedError: the source was closed.
            UserError: the thread met a damaged file since the last call.
        """
        self.cache.prefetch(sorted(set((samples // self.block).tolist())))

    def test_slices(self, dtype: npt.DTypeLike, size: int = 1024) -> Iterator[Batch]:
        """Return the test samples in order, in batches of ``size``; each batch is new memory."""
        for start in range(0, self.num_test, size):
            stop = min(start + size, self.num_test)
            x = self._read_rows(self._test_x, start, stop).astype(dtype, copy=False)
            np.divide(x, self._divisor, out=x)
            yield Batch(x, self._y_test[start:stop].copy())

    def close(self) -> None:
        """End the thread and close the file; a second call does nothing."""
        self.cache.close()
        self._file.close()

    def _read_labels(self, part: str, x: str, y: str) -> npt.NDArray[np.int64]:
        what = f"data file {self._file.path}"
        check_shapes(what, part, self._file.shape(x), self._file.shape(y))
        check_types(what, part, self._file.dtype(x), self._file.dtype(y))
        return self._file.read(y).astype(np.int64)

    def _check_sample_shapes(self) -> None:
        train = self._file.shape(self._train_x)[1:]
        test = self._file.shape(self._test_x)[1:]
        if train != test:
            msg = (
                f"data file {self._file.path}: samples of '{self._train_x}' have shape {train}, "
                f"of '{self._test_x}' {test}; they must be equal"
            )
            raise UserError(msg)

    def _choose_block(self) -> int:
        chunk_rows = self._file.chunk_rows(self._train_x) or 1
        chunk_bytes = chunk_rows * self._row_bytes(self._train_x)
        return min(chunk_rows * max(1, _BLOCK_BYTES // chunk_bytes), self.num_samples)

    def _choose_capacity(self, cache_bytes: int) -> int:
        block_bytes = self.block * self._row_bytes(self._train_x)
        num_blocks = -(-self.num_samples // self.block)
        least = min(BLOCKS_PER_GROUP, num_blocks) * block_bytes
        if cache_bytes < least:
            msg = (
                f"data.cache_bytes must be >= {least}, got {cache_bytes}: array '{self._train_x}' "
                f"is read in blocks of {self.block} rows, {block_bytes} bytes; give more memory "
                f"or store the array in smaller chunks"
            )
            raise UserError(msg)
        return cache_bytes // block_bytes

    def _read_block(self, number: int) -> npt.NDArray[Any]:
        start = number * self.block
        return self._read_rows(self._train_x, start, min(start + self.block, self.num_samples))

    def _read_rows(self, name: str, start: int, stop: int) -> npt.NDArray[Any]:
        dtype = self._file.dtype(name).newbyteorder("=")
        rows = np.empty((stop - start, *self._file.shape(name)[1:]), dtype)
        self._file.read_rows(name, start, stop, rows)
        return rows

    def _row_bytes(self, name: str) -> int:
        return int(np.prod(self._file.shape(name)[1:])) * self._file.dtype(name).itemsize

    def _num_bytes(self, name: str) -> int:
        return self._file.shape(name)[0] * self._row_bytes(name)

    def _add_features(self, digest: Digest, title: str, name: str, *, is_sampled: bool) -> None:
        """Add features row range by row range; sampled, only those of evenly spread pieces."""
        shape = self._file.shape(name)
        digest.start(title, shape, self._file.dtype(name))
        step = max(1, (1 << 20) // self._row_bytes(name))
        starts = range(0, shape[0], step)
        if is_sampled and len(starts) > _SAMPLED_PIECES:
            last = len(starts) - 1
            spread = [k * last // (_SAMPLED_PIECES - 1) for k in range(_SAMPLED_PIECES)]
            pieces = [starts[piece] for piece in spread]
        else:
            pieces = list(starts)
        for start in pieces:
            digest.add(self._read_rows(name, start, min(start + step, shape[0])))


def _add_labels(digest: Digest, title: str, labels: npt.NDArray[np.int64]) -> None:
    digest.start(title, labels.shape, labels.dtype)
    digest.add(labels)
