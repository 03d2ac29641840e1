"""Weight prediction: the gradient is computed where the parameters are expected to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mpitrain.core.arrays import Array, module_of
from mpitrain.optim.compensation import Compensation

AHEAD = "compensation_ahead"


@dataclass(frozen=True)
class WeightPrediction(Compensation):
    """x <- x + tau d after a read: as many of this rank's last change as its last staleness.

    While the gradient is under way, other ranks apply about as many updates as they did last time,
    taken to be like this rank's own last one, d. The version that was read stays what it is.

    Source: Chen, Yang, Cheng, "Efficient and robust parallel DNN training through model parallelism
    on multi-GPU platform" (SpecTrain), 2018, for pipelines; here with the measured staleness.
    """

    state_names: ClassVar[tuple[str, ...]] = (AHEAD,)
    needs_read: ClassVar[bool] = True

    def predict(self, parameters: Array, state: Mapping[str, Array]) -> None:
        """See Compensation."""
        module_of(parameters).add(parameters, state[AHEAD], out=parameters)

    def learn(
        self, change: Array, tau: int, state: Mapping[str, Array], clock: int, scratch: Array
    ) -> None:
        """See Compensation."""
        module_of(change).multiply(change, float(tau), out=state[AHEAD])
