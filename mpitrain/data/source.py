"""What a source of samples offers, and the plain one: arrays in memory."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from mpitrain.core.batch import Batch
from mpitrain.core.errors import UserError
from mpitrain.data.checks import check_shapes, check_types, checked_num_classes
from mpitrain.data.digest import digest_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt


class Source(Protocol):
    """Training and test samples, gathered batch by batch into arrays that the caller owns.

    One thread at a time calls it. Samples are numbered from 0; features come scaled.
    """

    @property
    def num_samples(self) -> int:
        """Number of training samples."""

    @property
    def num_test(self) -> int:
        """Number of test samples; may be 0."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample as stored, for example (28, 28)."""

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are in [0, num_classes)."""

    @property
    def block(self) -> int:
        """Samples that are read together: 1 in memory, the rows of a chunk in a chunked file."""

    @property
    def digest(self) -> str:
        """SHA-256 of the data in hexadecimal, computed at first use (one rank asks, not all).

        It covers shapes, types and bytes of the features as stored, the labels as int64, and the
        scaling; the container does not matter. ``sampled:`` in front says that only a part was
        read.
        """

    def gather_into(
        self, samples: npt.NDArray[np.int64], x: npt.NDArray[Any], y: npt.NDArray[np.int64]
    ) -> None:
        """Copy a batch out of the training samples.

        Args:
            samples: (k,), int64, host, each in [0, num_samples); not checked.
            x: (k, *sample_shape), float, C order, host, overwritten with scaled features.
            y: (k,), int64, host, overwritten with labels.
        """

    def prefetch(self, samples: npt.NDArray[np.int64]) -> None:
        """Say that these samples are gathered soon; in memory there is nothing to do."""

    def test_slices(self, dtype: npt.DTypeLike, size: int = 1024) -> Iterator[Batch]:
        """Return the test samples in order, in batches of ``size``; each batch is new memory."""

    def close(self) -> None:
        """Release files and threads; a second call does nothing."""


class ArraySource:
    """Samples in memory, kept in the type they were given in and scaled when gathered.

    A gather allocates nothing once a batch of the largest size was seen.

    Args:
        x_train: (N, ...), any numeric dtype, host, not changed.
        y_train: (N,), any integer dtype, host, not changed.
        x_test: (M, ...), sample shape as in training; M may be 0.
        y_test: (M,).
        divisor: features are ``x / divisor`` in the type of the batch.
        num_classes: ``None`` takes the largest label + 1.
        what: named first in error messages.

    Raises:
        UserError: lengths, shapes or types don't fit, or a label is out of range.
            Features are not checked for NaN or infinity.
    """

    block = 1

    def __init__(
        self,
        x_train: npt.NDArray[Any],
        y_train: npt.NDArray[Any],
        x_test: npt.NDArray[Any],
        y_test: npt.NDArray[Any],
        *,
        divisor: float = 1.0,
        num_classes: int | None = None,
        what: str = "data",
    ) -> None:
        """Check and keep the arrays; copied only where they are not C contiguous."""
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
            check_shapes(what, part, x.shape, y.shape)
            check_types(what, part, x.dtype, y.dtype)
        if x_train.shape[1:] != x_test.shape[1:]:
            msg = (
                f"{what}: training samples have shape {x_train.shape[1:]}, "
                f"test samples {x_test.shape[1:]}; they must be equal"
            )
            raise UserError(msg)
        self._y_train = y_train.astype(np.int64)
        self._y_test = y_test.astype(np.int64)
        self.num_classes = checked_num_classes(
            what, num_classes, train=self._y_train, test=self._y_test
        )
        self.num_samples = len(x_train)
        self.num_test = len(x_test)
        self.sample_shape: tuple[int, ...] = x_train.shape[1:]
        self._x_train = _in_order(x_train)
        self._x_test = _in_order(x_test)
        self._divisor = float(divisor)
        self._scratch = np.empty((0, *self.sample_shape), self._x_train.dtype)

    @classmethod
    def from_arrays(
        cls,
        arrays: Sequence[npt.ArrayLike],
        *,
        divisor: float = 1.0,
        num_classes: int | None = None,
    ) -> Self:
        """Wrap ``(x_train, y_train, x_test, y_test)``, anything that NumPy makes an array of.

        Args:
            arrays: the four, labels integers.
            divisor: see the class.
            num_classes: see the class.

        Raises:
            UserError: not four arrays, or they don't fit together.
        """
        if len(arrays) != 4:
            msg = f"data must be (x_train, y_train, x_test, y_test), got {len(arrays)} arrays"
            raise UserError(msg)
        x_train, y_train, x_test, y_test = (np.asarray(array) for array in arrays)
        return cls(x_train, y_train, x_test, y_test, divisor=divisor, num_classes=num_classes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all arrays and the divisor, hexadecimal."""
        arrays = {
            "train_x": self._x_train,
            "train_y": self._y_train,
            "test_x": self._x_test,
            "test_y": self._y_test,
        }
        return digest_arrays(arrays, self._divisor)

    def gather_into(
        self, samples: npt.NDArray[np.int64], x: npt.NDArray[Any], y: npt.NDArray[np.int64]
    ) -> None:
        """Copy a batch out of the training samples (see Source).

        ``mode="clip"`` lets NumPy write straight into the result, without a buffer of its own.
        """
        self._y_train.take(samples, 0, y, "clip")
        if x.dtype == self._x_train.dtype:
            self._x_train.take(samples, 0, x, "clip")
        else:
            rows = self._scratch_rows(len(samples))
            self._x_train.take(samples, 0, rows, "clip")
            np.copyto(x, rows, casting="same_kind")
        if self._divisor != 1.0:
            np.divide(x, self._divisor, out=x)

    def prefetch(self, samples: npt.NDArray[np.int64]) -> None:
        """Do nothing: everything is in memory."""

    def test_slices(self, dtype: npt.DTypeLike, size: int = 1024) -> Iterator[Batch]:
        """Return the test samples in order, in batches of ``size``; each batch is new memory."""
        for start in range(0, self.num_test, size):
            x = self._x_test[start : start + size].astype(dtype)
            np.divide(x, self._divisor, out=x)
            yield Batch(x, self._y_test[start : start + size].copy())

    def close(self) -> None:
        """Do nothing: there is no file and no thread."""

    def _scratch_rows(self, count: int) -> npt.NDArray[Any]:
        if len(self._scratch) < count:
            self._scratch = np.empty((count, *self.sample_shape), self._x_train.dtype)
        return self._scratch[:count]


def _in_order(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
