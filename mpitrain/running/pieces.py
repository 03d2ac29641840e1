"""Gradients of a mini-batch in pieces, so that a large one fits into a small memory.

Losses and gradients are sums over samples, so those of a mini-batch are the sums of its pieces',
added in order. Sums grouped otherwise round otherwise: each element differs from that of the whole
batch by at most a few units in the last place per piece of the largest sum on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.core.arrays import Array, module_of
from mpitrain.core.batch import Batch
from mpitrain.models.model import Model


class Pieces:
    """Computes loss and gradient piece by piece; allocates nothing per step."""

    def __init__(self, model: Model, size: int, gradient: Array) -> None:
        """Allocate the gradient of a piece.

        Args:
            model: what is differentiated.
            size: samples of a piece, >= 1; the last may be short.
            gradient: (n,), host or device, where the gradient of the mini-batch goes.
        """
        self._model, self._size, self._gradient = model, size, gradient
        self._xp = module_of(gradient)
        self._flat = self._xp.zeros(model.layout.size, model.layout.dtype)
        self._views = model.layout.views(self._flat)

    def loss_and_gradient(
        self, parameters: Mapping[str, Any], batch: Batch, out: Mapping[str, Any]
    ) -> float:
        """Return the loss summed over the batch and write the gradient of that sum; see Model.

        Args:
            parameters: by name, as the model wants them, unchanged.
            batch: at least one sample, unchanged.
            out: by name, views of the ``gradient`` that this was made with; overwritten.
        """
        size, compute = self._size, self._model.loss_and_gradient
        loss = compute(parameters, Batch(batch.x[:size], batch.y[:size]), out)
        for first in range(size, len(batch.y), size):
            last = first + size
            piece = Batch(batch.x[first:last], batch.y[first:last])
            loss += compute(parameters, piece, self._views)
            self._xp.add(self._gradient, self._flat, out=self._gradient)
        return loss
