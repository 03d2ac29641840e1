"""A multi-layer perceptron, differentiated by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.core.batch import Batch
from mpitrain.core.errors import unknown
from mpitrain.core.layout import Layout
from mpitrain.core.seeds import generator
from mpitrain.models.activations import ACTIVATIONS
from mpitrain.models.checks import check_sizes
from mpitrain.models.loss import SoftmaxCrossEntropy
from mpitrain.models.workspace import Workspace


class Mlp:
    """Fully connected layers with softmax cross-entropy on top; see Model.

    Layer i = 1, 2, ... has the parameters "w<i>" (inputs, outputs) and "b<i>" (outputs,). The
    activation stands between layers; without hidden layers this is softmax regression.
    """

    metric_name = "accuracy"

    def __init__(
        self,
        num_features: int,
        hidden: Sequence[int],
        num_classes: int,
        activation: str,
        dtype: npt.DTypeLike,
    ) -> None:
        """Classify samples of ``num_features`` numbers.

        Args:
            num_features: numbers per sample, whatever its shape.
            hidden: widths of the hidden layers, possibly none.
            num_classes: width of the last layer.
            activation: "relu" or "tanh".
            dtype: of parameters, gradients and samples.

        Raises:
            UserError: a width is below 1, or the activation is unknown.
        """
        check_sizes(num_features=num_features, num_classes=num_classes)
        for width in hidden:
            check_sizes(hidden=width)
        if activation not in ACTIVATIONS:
            raise unknown("model.activation", activation, ACTIVATIONS)  # noqa: EM101  # not a message
        self.activation = ACTIVATIONS[activation]
        widths = (num_features, *hidden, num_classes)
        self.num_layers = len(widths) - 1
        self.layout = Layout.of(_shapes(widths), dtype)
        self._loss = SoftmaxCrossEntropy(num_classes, dtype)
        self._outputs = Workspace(widths[1:], dtype)
        self._deltas = Workspace(widths[1:-1], dtype)

    def init(self, seed: int) -> npt.NDArray[Any]:
        """Return normal weights of variance gain / inputs, and zero biases; see Activation."""
        flat = np.zeros(self.layout.size, self.layout.dtype)
        views = self.layout.views(flat)
        for layer in range(1, self.num_layers + 1):
            weights = views[f"w{layer}"]
            gain = self.activation.init_gain if layer < self.num_layers else 1.0
            normal = generator(seed, "init", layer).standard_normal(weights.shape)
            weights[...] = normal * np.sqrt(gain / len(weights))
        return flat

    def loss_and_gradient(
        self, parameters: Mapping[str, Array], batch: Batch, out: Mapping[str, Array]
    ) -> float:
        """Return the summed loss, write its gradient; see Model."""
        x = batch.x.reshape(len(batch.x), -1)
        outputs = self._forward(parameters, x)
        delta = outputs[-1]
        loss = self._loss.loss_and_gradient(delta, batch.y, out_gradient=delta)
        self._backward(parameters, [x, *outputs[:-1]], delta, out)
        return loss

    def evaluate(self, parameters: Mapping[str, Array], batch: Batch) -> dict[str, float]:
        """Return the summed loss and the number of correct samples; see Model."""
        logits = self._forward(parameters, batch.x.reshape(len(batch.x), -1))[-1]
        correct = self._loss.num_correct(logits, batch.y)
        loss = self._loss.loss_and_gradient(logits, batch.y, out_gradient=logits)
        return {"loss": loss, self.metric_name: correct}

    def _forward(self, parameters: Mapping[str, Array], x: Array) -> list[Array]:
        """Return every layer's output, the class scores last: (n, outputs) each, work arrays."""
        xp = module_of(x)
        outputs = self._outputs.rows(len(x), x)
        for layer, (before, after) in enumerate(pairwise([x, *outputs]), start=1):
            xp.matmul(before, parameters[f"w{layer}"], out=after)
            xp.add(after, parameters[f"b{layer}"], out=after)
            if layer < self.num_layers:
                self.activation.apply(after)
        return outputs

    def _backward(
        self,
        parameters: Mapping[str, Array],
        inputs: list[Array],
        delta: Array,
        out: Mapping[str, Array],
    ) -> None:
        """Write the gradients from the last layer to the first.

        Args:
            parameters: unchanged.
            inputs: of every layer; all but the first become slopes of the activation.
            delta: (n, C), gradient of the loss with respect to the last layer's output.
            out: overwritten.
        """
        xp = module_of(delta)
        deltas = self._deltas.rows(len(delta), delta)
        for layer in range(self.num_layers, 0, -1):
            below = inputs[layer - 1]
            xp.matmul(below.T, delta, out=out[f"w{layer}"])
            xp.sum(delta, axis=0, out=out[f"b{layer}"])
            if layer > 1:
                delta_below = deltas[layer - 2]
                xp.matmul(delta, parameters[f"w{layer}"].T, out=delta_below)
                self.activation.to_slope(below)
                delta = xp.multiply(delta_below, below, out=delta_below)


def _shapes(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters, layer by layer."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        shapes[f"w{layer}"] = (inputs, outputs)
        shapes[f"b{layer}"] = (outputs,)
    return shapes
