"""What a model offers to training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.batch import Batch
from mpitrain.core.layout import Layout


class Model(Protocol):
    """A differentiable function of parameters and samples.

    Losses and gradients are sums over samples, so that sums over ranks need no weights.

    Attributes:
        layout: names, shapes and dtype of the parameters.
        metric_name: what ``evaluate`` returns beside the loss, for example "accuracy".
    """

    layout: Layout
    metric_name: str

    def init(self, seed: int) -> npt.NDArray[Any]:
        """Return initial parameters, a pure function of ``seed``.

        Returns:
            (layout.size,), layout.dtype, host, a new array.
        """

    def loss_and_gradient(
        self, parameters: Mapping[str, Array], batch: Batch, out: Mapping[str, Array]
    ) -> float:
        """Return the loss summed over the batch and write the gradient of that sum.

        Args:
            parameters: by name, the layout's shapes and dtype, host or device, unchanged.
            batch: at least one sample, beside the parameters, unchanged.
            out: by name, like ``parameters``; every element is overwritten.
        """

    def evaluate(self, parameters: Mapping[str, Array], batch: Batch) -> dict[str, float]:
        """Return sums over the batch: "loss" and the one called ``metric_name``.

        Args:
            parameters: by name, the layout's shapes and dtype, host or device, unchanged.
            batch: at least one sample, beside the parameters, unchanged.
        """
