from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.batch import Batch
from mpitrain.models.mlp import Mlp
from mpitrain.models.model import Model
from mpitrain.models.softmax import Softmax
from mpitrain.models.stacked import stack_of


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "linear", "relu", "tanh"])
def test_copies_have_the_gradients_of_the_model(name: str, dtype: str) -> None:
    """Each with its own parameters and batch; sums over a batch may round otherwise."""
    hidden = {"linear": ()}.get(name, (9, 5))
    activation = name if name in ("relu", "tanh") else "relu"
    model: Model = (
        Softmax(7, 3, dtype) if name == "softmax" else Mlp(7, hidden, 3, activation, dtype)
    )
    random, num, size = np.random.default_rng(1), 4, 6
    x = random.normal(size=(num, size, 7)).astype(dtype)
    y = random.integers(0, 3, (num, size))
    stack = stack_of(model, num)
    assert stack is not None
    stack.parameters[:] = random.normal(size=stack.parameters.shape)
    losses = stack.compute(x, y)
    tolerance = 50 * float(np.finfo(dtype).eps)  # of sums of 6 terms through 3 layers
    for copy in range(num):
        layout, gradient = model.layout, np.empty(model.layout.size, dtype)
        parameters = layout.views(stack.parameters[copy].copy())
        loss = model.loss_and_gradient(parameters, Batch(x[copy], y[copy]), layout.views(gradient))
        assert losses[copy] == pytest.approx(loss, rel=tolerance)
        largest = np.abs(gradient).max()
        assert np.abs(stack.gradients[copy] - gradient).max() <= tolerance * largest


def test_models_of_the_users_own_have_no_stack() -> None:
    """Also those that only change a built-in one."""

    class Mine(Mlp):
        pass

    assert stack_of(Mine(7, (3,), 2, "relu", "float32"), 2) is None
