from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.batch import Batch
from mpitrain.core.errors import UserError
from mpitrain.models.mlp import Mlp
from mpitrain.models.softmax import Softmax


def test_mlp_layout_goes_layer_by_layer() -> None:
    """Weights and bias of the first layer come first; weights are (inputs, outputs)."""
    layout = Mlp(6, (5, 3), 4, "relu", "float32").layout
    assert list(zip(layout.names, layout.shapes, strict=True)) == [
        ("w1", (6, 5)),
        ("b1", (5,)),
        ("w2", (5, 3)),
        ("b2", (3,)),
        ("w3", (3, 4)),
        ("b3", (4,)),
    ]


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("tanh", 1.0)])
def test_mlp_init_keeps_the_stated_variance(activation: str, gain: float) -> None:
    """Weights have mean 0 and variance gain / inputs, the last layer 1 / inputs; biases are 0."""
    model = Mlp(400, (300,), 200, activation, "float32")
    flat = model.init(5)
    assert flat.dtype == np.float32
    views = model.layout.views(flat)
    assert views["w1"].var() == pytest.approx(gain / 400, rel=0.03)
    assert views["w2"].var() == pytest.approx(1 / 300, rel=0.03)
    assert abs(views["w1"].mean()) < 1e-3
    assert not views["b1"].any()
    assert not views["b2"].any()


def test_mlp_init_depends_on_the_seed_alone() -> None:
    """The same seed gives the same parameters, another seed and another layer others."""
    model = Mlp(6, (6,), 6, "relu", "float64")
    np.testing.assert_array_equal(model.init(1), model.init(1))
    views = model.layout.views(model.init(1))
    assert (model.init(1) != model.init(2)).any()
    assert (views["w1"] / views["w1"][0, 0] != views["w2"] / views["w2"][0, 0]).any()


def test_mlp_without_hidden_layers_is_softmax_regression() -> None:
    """Loss and gradient have the same bits as those of Softmax."""
    mlp, softmax = Mlp(6, (), 4, "tanh", "float64"), Softmax(6, 4, "float64")
    random = np.random.default_rng(2)
    flat = random.standard_normal(28)
    batch = Batch(random.standard_normal((7, 6)), random.integers(0, 4, 7))
    gradients = np.empty((2, 28))
    losses = [
        model.loss_and_gradient(model.layout.views(flat), batch, model.layout.views(gradient))
        for model, gradient in zip((mlp, softmax), gradients, strict=True)
    ]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(gradients[0], gradients[1])


def test_mlp_learns_what_softmax_regression_cannot() -> None:
    """A hidden layer separates exclusive or, which no linear layer does."""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    batch = Batch(x, np.array([0, 1, 1, 0]))
    model = Mlp(2, (8,), 2, "tanh", "float64")
    flat = model.init(0)
    gradient = np.empty_like(flat)
    parameters, out = model.layout.views(flat), model.layout.views(gradient)
    for _ in range(500):
        model.loss_and_gradient(parameters, batch, out)
        flat -= 0.2 * gradient
    assert model.evaluate(parameters, batch)["accuracy"] == 4.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (5,), 4, "relu"), r"model\.num_features must be >= 1, got 0"),
        ((6, (5, 0), 4, "relu"), r"model\.hidden must be >= 1, got 0"),
        ((6, (5,), -1, "relu"), r"model\.num_classes must be >= 1, got -1"),
        ((6, (5,), 4, "gelu"), r"unknown model\.activation 'gelu'; choose from: relu, tanh"),
    ],
)
def test_mlp_refuses_what_it_cannot_build(
    arguments: tuple[int, tuple[int, ...], int, str], message: str
) -> None:
    """The error names the size or the activation, and what is allowed."""
    with pytest.raises(UserError, match=message):
        Mlp(*arguments, "float32")
