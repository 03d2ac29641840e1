from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.models.workspace import Workspace


def test_workspace_arrays_have_the_asked_shape_and_type(xp: Any) -> None:
    """One contiguous array per width, all with the same number of rows, beside ``like``."""
    arrays = Workspace((3, 1), "float32").rows(5, xp.zeros(1))
    assert [array.shape for array in arrays] == [(5, 3), (5, 1)]
    assert all(array.dtype == np.float32 for array in arrays)
    assert all(array.flags.c_contiguous for array in arrays)
    assert all(isinstance(array, xp.ndarray) for array in arrays)


def test_workspace_reuses_its_memory_for_short_batches() -> None:
    """Fewer rows are the first rows of the same memory; the full batch comes back unmoved."""
    workspace = Workspace((4,), "float64")
    like = np.zeros(1)
    (full,) = workspace.rows(10, like)
    (short,) = workspace.rows(3, like)
    (again,) = workspace.rows(10, like)
    full[:] = 7
    assert (short == 7).all()
    assert (again == 7).all()
    assert short.flags.c_contiguous


def test_workspace_grows_once_for_a_larger_batch() -> None:
    """A larger batch gets new memory, which is kept then."""
    workspace = Workspace((4,), "float64")
    like = np.zeros(1)
    workspace.rows(3, like)
    (large,) = workspace.rows(8, like)
    (short,) = workspace.rows(3, like)
    assert np.shares_memory(large, short)


@pytest.mark.gpu
def test_workspace_follows_its_batches_to_the_device() -> None:
    """After host batches, device batches get device memory."""
    cupy = pytest.importorskip("cupy")
    workspace = Workspace((4,), "float64")
    workspace.rows(3, np.zeros(1))
    (array,) = workspace.rows(3, cupy.zeros(1))
    assert isinstance(array, cupy.ndarray)
