"""Softmax regression: one linear layer and softmax cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array, module_of
from mpitrain.core.batch import Batch
from mpitrain.core.layout import Layout
from mpitrain.models.checks import check_sizes
from mpitrain.models.loss import SoftmaxCrossEntropy
from mpitrain.models.workspace import Workspace


class Softmax:
    """Multinomial logistic regression with parameters "w" (F, C) and "b" (C,); see Model."""

    metric_name = "accuracy"

    def __init__(self, num_features: int, num_classes: int, dtype: npt.DTypeLike) -> None:
        """Classify samples of ``num_features`` numbers.

        Args:
            num_features: F, numbers per sample, whatever its shape.
            num_classes: C.
            dtype: of parameters, gradients and samples.

        Raises:
            UserError: a size is below 1.
        """
        check_sizes(num_features=num_features, num_classes=num_classes)
        self.layout = Layout.of({"w": (num_features, num_classes), "b": (num_classes,)}, dtype)
        self._loss = SoftmaxCrossEntropy(num_classes, dtype)
        self._work = Workspace((num_classes,), dtype)

    def init(self, seed: int) -> npt.NDArray[Any]:  # the seed has nothing to decide
        """Return zeros: the loss is convex, so no start is better."""
        return np.zeros(self.layout.size, self.layout.dtype)

    def loss_and_gradient(
        self, parameters: Mapping[str, Array], batch: Batch, out: Mapping[str, Array]
    ) -> float:
        """Return the summed loss, write its gradient; see Model."""
        x = batch.x.reshape(len(batch.x), -1)
        xp = module_of(x)
        logits = self._logits(parameters, x)
        loss = self._loss.loss_and_gradient(logits, batch.y, out_gradient=logits)
        xp.matmul(x.T, logits, out=out["w"])
        xp.sum(logits, axis=0, out=out["b"])
        return loss

    def evaluate(self, parameters: Mapping[str, Array], batch: Batch) -> dict[str, float]:
        """Return the summed loss and the number of correct samples; see Model."""
        logits = self._logits(parameters, batch.x.reshape(len(batch.x), -1))
        correct = self._loss.num_correct(logits, batch.y)
        loss = self._loss.loss_and_gradient(logits, batch.y, out_gradient=logits)
        return {"loss": loss, self.metric_name: correct}

    def _logits(self, parameters: Mapping[str, Array], x: Array) -> Array:
        """Return class scores: (n, C), a work array."""
        xp = module_of(x)
        (logits,) = self._work.rows(len(x), x)
        xp.matmul(x, parameters["w"], out=logits)
        return xp.add(logits, parameters["b"], out=logits)
