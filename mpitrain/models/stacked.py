"""Gradients of several copies of a model at once, by stacked products: for simulated workers.

Each copy has parameters and a mini-batch of its own. The arithmetic is that of the model, copy by
copy; only sums over a mini-batch may round otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.layout import Layout
from mpitrain.models.activations import Activation
from mpitrain.models.mlp import Mlp
from mpitrain.models.model import Model
from mpitrain.models.softmax import Softmax

Stack = npt.NDArray[Any]


class StackedLayers:
    """P copies of a network of dense layers with softmax cross-entropy, on the host.

    Attributes:
        parameters: (P, n), of each copy, flat; set before ``compute``.
        gradients: (P, n), written by ``compute``.
    """

    def __init__(
        self,
        layout: Layout,
        names: Sequence[tuple[str, str]],
        activation: Activation | None,
        num: int,
    ) -> None:
        """Allocate parameters and gradients.

        Args:
            layout: of one copy.
            names: of weights and bias of each layer.
            activation: between the layers; None where there is one layer.
            num: P, copies.
        """
        self._names, self._activation = names, activation
        self.parameters = np.zeros((num, layout.size), layout.dtype)
        self.gradients = np.zeros((num, layout.size), layout.dtype)
        self._in, self._out = _views(layout, self.parameters), _views(layout, self.gradients)

    def compute(self, x: Stack, y: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the summed loss of each copy: (P,); the gradients of the sums are written.

        Args:
            x: (P, B, ...), the layout's dtype.
            y: (P, B), int64.
        """
        num, size = y.shape
        values = [x.reshape(num, size, -1)]
        for layer, (weights, bias) in enumerate(self._names, start=1):
            after = values[-1] @ self._in[weights]
            after += self._in[bias][:, np.newaxis]
            if layer < len(self._names) and self._activation is not None:
                self._activation.apply(after)
            values.append(after)
        losses, delta = _cross_entropy(values.pop(), y)
        for (weights, bias), below in zip(reversed(self._names), reversed(values), strict=True):
            np.matmul(below.transpose(0, 2, 1), delta, out=self._out[weights])
            np.sum(delta, axis=1, out=self._out[bias])
            if below is not values[0] and self._activation is not None:
                delta = delta @ self._in[weights].transpose(0, 2, 1)
                self._activation.to_slope(below)
                delta *= below
        return losses


def stack_of(model: Model, num: int) -> StackedLayers | None:
    """Return ``num`` copies of a model, None where its arithmetic is not known here."""
    if type(model) is Softmax:
        return StackedLayers(model.layout, [("w", "b")], None, num)
    if type(model) is Mlp:
        layers = range(1, model.num_layers + 1)
        names = [(f"w{layer}", f"b{layer}") for layer in layers]
        return StackedLayers(model.layout, names, model.activation, num)
    return None


def _views(layout: Layout, stack: Stack) -> dict[str, Stack]:
    """Return every copy's parameters by name: (P, ...) each, views."""
    num, ends = len(stack), [*layout.offsets, layout.size]
    return {
        name: stack[:, start:stop].reshape(num, *shape)
        for (start, stop), name, shape in zip(
            pairwise(ends), layout.names, layout.shapes, strict=True
        )
    }


def _cross_entropy(
    logits: Stack, labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], Stack]:
    """Return the summed loss of each copy and its gradient, which takes the logits' place."""
    at = labels[..., np.newaxis]
    logits -= logits.max(axis=2, keepdims=True)
    picked = np.take_along_axis(logits, at, axis=2)
    np.exp(logits, out=logits)
    sums = logits.sum(axis=2, keepdims=True)
    logits /= sums
    losses = np.log(sums).sum(axis=(1, 2)) - picked.sum(axis=(1, 2))
    np.put_along_axis(logits, at, np.take_along_axis(logits, at, axis=2) - 1, axis=2)
    return losses.astype(np.float64), logits
