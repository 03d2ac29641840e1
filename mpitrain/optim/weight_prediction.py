"""Weight prediction: the gradient is computed where the parameters are expected to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mpitrain.optim.compensation import Compensation


@dataclass(frozen=True)
class WeightPrediction(Compensation):
    """x <- x + tau d after a read: as many of this rank's last change as its last staleness.

    While the gradient is under way, other ranks apply about as many updates as they did last time,
    taken to be like this rank's own last one, d. The version that was read stays what it is.

    Source: Chen, Yang, Cheng, "Efficient and robust parallel DNN training through model parallelism
    on multi-GPU platform" (SpecTrain), 2018, for pipelines; here with the measured staleness.
    """

    state_names: ClassVar[tuple[str, ...]] = ("compensation_ahead",)
    needs_read: ClassVar[bool] = True
    predict: ClassVar[str] = "parameters = parameters + compensation_ahead"
    learn: ClassVar[str] = "compensation_ahead = change * tau"

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """See Compensation."""
        return {"tau": float(tau)}
