from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.devices.page_locked import PageLock, page_locked
from mpitrain.devices.transfer import DeviceTransfer
from tests.unit.devices.fake_cupy import FakeCupy

UNKNOWN_TO_CUDA, ON_HOST = 0, 1  # cudaMemoryType


@pytest.fixture(params=["fake", pytest.param("cuda", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest) -> Any:
    """Return the stand-in, then CuPy itself (marked gpu)."""
    return FakeCupy() if request.param == "fake" else pytest.importorskip("cupy")


def is_locked(cupy: Any, array: np.ndarray) -> bool:
    """Tell whether all pages of an array are locked."""
    start, stop = array.ctypes.data, array.ctypes.data + array.nbytes
    if isinstance(cupy, FakeCupy):
        return any(a <= start and stop <= b for a, b in cupy.locked)
    types = {cupy.cuda.runtime.pointerGetAttributes(end).type for end in (start, stop - 1)}
    assert types <= {UNKNOWN_TO_CUDA, ON_HOST}
    return types == {ON_HOST}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 1001])
def test_page_locked_vector_is_zero_and_writable(cupy: Any, size: int, dtype: str) -> None:
    """Of the size asked for, though the memory below comes in larger units."""
    vector = page_locked(cupy, size, dtype)
    assert (vector.shape, vector.dtype) == ((size,), np.dtype(dtype))
    np.testing.assert_array_equal(vector, 0)
    vector[...] = 3
    np.testing.assert_array_equal(vector, 3)
    assert not size or is_locked(cupy, vector)


def test_page_lock_ends_with_close(cupy: Any) -> None:
    """A second close does nothing."""
    array = np.zeros(5000)
    lock = PageLock(cupy, array)
    assert lock.problem == ""
    assert is_locked(cupy, array)
    lock.close()
    lock.close()
    assert not is_locked(cupy, array)


def test_page_lock_of_nothing_is_none(cupy: Any) -> None:
    """An empty array has no pages."""
    lock = PageLock(cupy, np.zeros(0))
    assert lock.problem == ""
    lock.close()


def test_page_lock_that_fails_tells_why(cupy: Any) -> None:
    """It is no error; what others locked stays locked."""
    array = np.zeros(5000)
    first = PageLock(cupy, array)
    second = PageLock(cupy, array)
    assert "cudaErrorHostMemoryAlreadyRegistered" in second.problem
    second.close()
    assert is_locked(cupy, array)
    first.close()


def test_locked_memory_of_others_takes_part_in_a_transfer(cupy: Any) -> None:
    """Close the transfer, then the lock, then free the memory."""
    memory = np.zeros(100, "float32")
    lock = PageLock(cupy, memory)
    transfer = DeviceTransfer(cupy, cupy.empty(100, "float32"), memory, [slice(0, 100)])
    memory[...] = 5
    transfer.upload(0)
    transfer.close()
    lock.close()
    found = transfer.device if isinstance(cupy, FakeCupy) else cupy.asnumpy(transfer.device)
    np.testing.assert_array_equal(found, 5)
