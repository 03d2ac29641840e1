from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from mpitrain.core.batch import Batch
from mpitrain.models.mlp import Mlp
from mpitrain.running.pieces import Pieces

NUM = 96


def gradients(size: int, dtype: str) -> tuple[float, Any, float, Any]:
    """Return loss and gradient of a batch in pieces of ``size``, and of the whole."""
    model = Mlp(20, (16,), 5, "tanh", dtype)
    random = np.random.default_rng(size)
    batch = Batch(random.random((NUM, 20), np.float32).astype(dtype), random.integers(0, 5, NUM))
    parameters = model.layout.views(model.init(1))
    whole, pieces = np.zeros(model.layout.size, dtype), np.full(model.layout.size, 7, dtype)
    loss = model.loss_and_gradient(parameters, batch, model.layout.views(whole))
    computed = Pieces(model, size, pieces)
    other = computed.loss_and_gradient(parameters, batch, model.layout.views(pieces))
    return loss, whole, other, pieces


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 32, 95])
def test_gradient_in_pieces_is_that_of_the_whole_batch(size: int, dtype: str) -> None:
    """Equal to NUM roundings of the largest element.

    Sums of n terms in two orders differ by at most 2 n roundings of the sum of sizes; signs mix, so
    half of that, of the largest sum, is generous for terms that cancel in part.
    """
    loss, whole, other, pieces = gradients(size, dtype)
    tolerance = NUM * float(np.finfo(dtype).eps) * float(np.abs(whole).max())
    assert np.abs(whole).max() > 0.1
    assert np.abs(pieces - whole).max() <= tolerance
    assert other == pytest.approx(loss, rel=NUM * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("size", [NUM, NUM + 1])
def test_one_piece_gives_the_bits_of_the_whole_batch(size: int) -> None:
    """Nothing is added then."""
    loss, whole, other, pieces = gradients(size, "float32")
    assert (other, pieces.tobytes()) == (loss, whole.tobytes())


def test_pieces_allocate_nothing_per_step() -> None:
    """After a first step all arrays are there: only NumPy's small buffers come and go."""
    model = Mlp(64, (256,), 10, "relu", "float32")
    gradient = np.zeros(model.layout.size, np.float32)
    views, parameters = model.layout.views(gradient), model.layout.views(model.init(0))
    batch = Batch(np.ones((64, 64), np.float32), np.zeros(64, np.int64))
    pieces = Pieces(model, 9, gradient)
    pieces.loss_and_gradient(parameters, batch, views)
    tracemalloc.start()
    pieces.loss_and_gradient(parameters, batch, views)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < gradient.nbytes / 4
