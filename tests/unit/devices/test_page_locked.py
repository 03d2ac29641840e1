from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.devices.page_locked import page_locked
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
    """Of the size asked for."""
    vector = page_locked(cupy, size, dtype)
    assert (vector.shape, vector.dtype) == ((size,), np.dtype(dtype))
    np.testing.assert_array_equal(vector, 0)
    vector[...] = 3
    np.testing.assert_array_equal(vector, 3)
    assert not size or is_locked(cupy, vector)


def test_memory_that_cannot_be_locked_is_one_line() -> None:
    """With its size, and what to do."""
    with pytest.raises(UserError, match=r"2.0 GiB of host memory cannot be page-locked .* out of"):
        page_locked(FakeCupy(), 1 << 28, "float64")
