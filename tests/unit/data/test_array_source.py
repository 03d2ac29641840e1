"""Arrays in memory as a source of samples."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.data.source import ArraySource, Source


def make_arrays() -> list[np.ndarray]:
    """Return images and labels to train on and to test on."""
    rng = np.random.default_rng(3)
    return [
        rng.integers(0, 256, (50, 4, 3), dtype=np.uint8),
        np.arange(50) % 7,
        rng.integers(0, 256, (11, 4, 3), dtype=np.uint8),
        np.arange(11, dtype=np.uint8) % 7,
    ]


def gather(
    source: Source, samples: list[int], dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Gather a batch into fresh arrays."""
    x = np.full((len(samples), *source.sample_shape), -1, dtype)
    y = np.full(len(samples), -1, np.int64)
    source.gather_into(np.array(samples, np.int64), x, y)
    return x, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stored", [np.uint8, np.float32, np.float64, ">f4", np.bool_])
def test_gather_equals_indexing_and_dividing_for_any_types(stored: str, dtype: type) -> None:
    """A batch is exactly ``x_train[samples] / divisor`` in the batch's type."""
    arrays = make_arrays()
    arrays[0] = arrays[0].astype(stored)
    arrays[2] = arrays[2].astype(stored)
    source = ArraySource.from_arrays(arrays, divisor=255)
    samples = [49, 0, 7, 7, 31]
    x, y = gather(source, samples, dtype)
    np.testing.assert_array_equal(x, arrays[0][samples].astype(dtype) / dtype(255))
    np.testing.assert_array_equal(y, arrays[1][samples])


def test_gather_does_not_change_features_given_without_scaling() -> None:
    """Without a divisor, floats come out bit for bit, and the caller's arrays stay as they were."""
    arrays = [array.astype(np.float64) for array in make_arrays()[::2]]
    labels = make_arrays()[1::2]
    source = ArraySource.from_arrays([arrays[0], labels[0], arrays[1], labels[1]])
    before = arrays[0].copy()
    x, _ = gather(source, [5, 3], np.float64)
    assert x.tobytes() == arrays[0][[5, 3]].tobytes()
    x[:] = 0
    np.testing.assert_array_equal(arrays[0], before)


def test_gather_allocates_nothing_once_a_full_batch_was_seen() -> None:
    """After the first batch, a gather's memory peak stays far below the size of a batch."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (500, 5000), dtype=np.uint8)
    labels = np.zeros(500, np.int64)
    source = ArraySource(pixels, labels, pixels, labels, divisor=255)
    samples = np.arange(200)
    x = np.empty((200, 5000), np.float32)
    y = np.empty(200, np.int64)
    source.gather_into(samples, x, y)
    tracemalloc.start()
    try:
        source.gather_into(samples, x, y)
        source.gather_into(samples[:7], x[:7], y[:7])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16_384


def test_source_describes_its_arrays() -> None:
    """Counts, shape and classes follow from the arrays; in memory a block is one sample."""
    source = ArraySource.from_arrays(make_arrays())
    assert source.num_samples == 50
    assert source.num_test == 11
    assert source.sample_shape == (4, 3)
    assert source.num_classes == 7
    assert source.block == 1


@pytest.mark.parametrize("size", [1, 4, 11, 1024])
def test_test_slices_cover_the_test_set_once_in_order(size: int) -> None:
    """The batches put together are the test set, scaled, and each owns its memory."""
    arrays = make_arrays()
    source = ArraySource.from_arrays(arrays, divisor=2)
    batches = list(source.test_slices(np.float32, size))
    assert [len(batch.y) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    x = np.concatenate([batch.x for batch in batches])
    np.testing.assert_array_equal(x, arrays[2].astype(np.float32) / 2)
    np.testing.assert_array_equal(np.concatenate([batch.y for batch in batches]), arrays[3])
    for batch in batches:
        batch.x[:] = -1
        batch.y[:] = -1
    again = next(source.test_slices(np.float32, size))
    assert again.x.min() >= 0
    assert again.y.min() >= 0


def test_source_without_test_samples_yields_no_slices() -> None:
    """An empty test set is allowed."""
    arrays = make_arrays()
    source = ArraySource.from_arrays([*arrays[:2], arrays[2][:0], arrays[3][:0]])
    assert source.num_test == 0
    assert list(source.test_slices(np.float32)) == []


def test_digest_changes_with_any_value_shape_type_or_scaling() -> None:
    """Equal data has an equal digest; every change of what a model would see has another."""
    arrays = make_arrays()
    digest = ArraySource.from_arrays(arrays).digest
    assert len(digest) == 64
    assert ArraySource.from_arrays([array.copy() for array in arrays]).digest == digest
    fortran = [np.asfortranarray(arrays[0]), *arrays[1:]]
    assert ArraySource.from_arrays(fortran).digest == digest
    others = [ArraySource.from_arrays(arrays, divisor=2).digest]
    for k in range(4):
        changed = [array.copy() for array in arrays]
        changed[k][-1] += 1
        others.append(ArraySource.from_arrays(changed).digest)
    wide = [arrays[0].astype(np.uint16), *arrays[1:]]
    others.append(ArraySource.from_arrays(wide).digest)
    folded = [arrays[0].reshape(50, 12), arrays[1], arrays[2].reshape(11, 12), arrays[3]]
    others.append(ArraySource.from_arrays(folded).digest)
    assert len({digest, *others}) == 1 + len(others)


def test_wrong_arrays_are_refused_with_what_was_found() -> None:
    """Each mistake is a UserError that names the part, what is allowed and what was given."""
    x, y, x_test, y_test = make_arrays()
    wrong = {
        "must be .* got 3 arrays": [x, y, x_test],
        r"train features .* got \(50, 4, 3\) and \(49,\)": [x, y[1:], x_test, y_test],
        r"test features .* got \(11, 4, 3\) and \(11, 1\)": [x, y, x_test, y_test[:, None]],
        r"shape \(4, 3\), test samples \(3, 4\)": [x, y, x_test.reshape(11, 3, 4), y_test],
        "train labels must be integers, got float64": [x, y / 1.0, x_test, y_test],
        "train features must be real numbers, got complex128": [x + 0j, y, x_test, y_test],
        "train features must not be empty": [x[:0], y[:0], x_test, y_test],
        "train labels must be >= 0, got -1 at sample 0": [x, y - 1, x_test, y_test],
    }
    for message, arrays in wrong.items():
        with pytest.raises(UserError, match=message):
            ArraySource.from_arrays(arrays)


def test_label_beyond_the_classes_is_refused_with_its_place() -> None:
    """With ``num_classes`` given, the first label out of range is named."""
    with pytest.raises(UserError, match=r"train labels must be in \[0, 5\), got 5 at sample 5"):
        ArraySource.from_arrays(make_arrays(), num_classes=5)
    assert ArraySource.from_arrays(make_arrays(), num_classes=9).num_classes == 9


def test_close_may_be_called_twice() -> None:
    """Closing a source in memory does nothing, and no harm."""
    source = ArraySource.from_arrays(make_arrays())
    source.prefetch(np.arange(3))
    source.close()
    source.close()
