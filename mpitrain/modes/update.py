"""One rank's update: from a summed gradient to what is added to the parameters.

The order is: mean over the samples, clip by global norm, compensation (per shard, it sees the
present values), optimiser, rate x factor x scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import MpitrainError
from mpitrain.core.measures import clip_factor, is_finite, sum_of_squares
from mpitrain.core.shards import Shards
from mpitrain.modes.record import StepRecord
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.factors import Factor
from mpitrain.optim.factors import none as no_factor
from mpitrain.optim.schedules import Schedule

Vector = npt.NDArray[Any]

NUM_SIGNALS = 2
MEET, BAD = range(NUM_SIGNALS)  # places in ``signals``


class Update:
    """Turns gradients into additive updates, whole or shard by shard; allocates nothing per step.

    Attributes:
        gradient: (n,), the model writes the summed gradient here; changed by ``begin``.
        signals: (2,), beside the gradient: what ranks tell each other when gradients are reduced.
        message: (n + 2,), gradient and signals in one.
        parameters: (n,), what the gradient is computed from.
        change: (n,), what is to be added to the parameters.
        state: the vectors of optimiser and compensation, each (n,).
        needs_present: ``finish_shard`` needs the present parameters, and ``compute`` must wait.
        needs_read: ``parameters`` must stay what was read, or is changed by ``predict_shard``.
        age: updates that the optimiser's state had seen when the clock was 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule,
        shards: Shards,
        dtype: npt.DTypeLike,
        *,
        clip: float | None = None,
        scale: float = 1.0,
        factor: Factor = no_factor,
        compensation: Compensation | None = None,
        message: Vector | None = None,
    ) -> None:
        """Allocate everything a step needs.

        Args:
            optimizer: the algorithm.
            schedule: learning rate by step number.
            shards: cut of the vector.
            dtype: of all vectors.
            clip: largest global norm of the mean gradient; None leaves it alone.
            scale: multiplies every update, for example 1 / P.
            factor: of the staleness of a shard's update; multiplies it too.
            compensation: corrects stale gradients; None leaves them alone.
            message: (n + 2,), used instead of memory of its own, by several in turn.
        """
        size = shards.size
        self.message = np.zeros(size + NUM_SIGNALS, dtype) if message is None else message
        self.gradient = self.message[:size]
        self.signals = self.message[size:]
        self.parameters = np.zeros(size, dtype)
        self.change = np.zeros(size, dtype)
        self.age = 0
        self.state: dict[str, Vector] = optimizer.init(size, dtype, np)
        self.needs_present = compensation is not None and compensation.needs_present
        self.needs_read = compensation is not None and compensation.needs_read
        self._factor, self._compensation = factor, compensation
        if compensation is not None:
            self.state |= {name: np.zeros(size, dtype) for name in compensation.state_names}
        self._scratch = np.zeros(size if compensation is not None else 0, dtype)
        self._optimizer = optimizer
        self._schedule = schedule
        self._clip = clip
        self._scale = scale
        self._step_size = 0.0
        self._clock = 0
        slices = [shards.slice(shard) for shard in range(shards.count)]
        self.gradient_of = [self.gradient[part] for part in slices]
        self.parameters_of = [self.parameters[part] for part in slices]
        self.change_of = [self.change[part] for part in slices]
        self._scratch_of = [self._scratch[part] for part in slices]
        self._state_of = [
            {name: vector[part] for name, vector in self.state.items()} for part in slices
        ]

    def begin(self, record: StepRecord, num_samples: int, step: int) -> bool:
        """Make the summed gradient a clipped mean and look up the rate.

        Returns whether all of it is finite; what is not must not be applied.

        Args:
            record: its clock is used; gradient_norm (before clipping) and rate are filled in.
            num_samples: how many samples the gradient sums over.
            step: number that the schedule goes by.
        """
        record.gradient_norm = sum_of_squares(self.gradient) ** 0.5 / num_samples
        record.rate = self._schedule.rate_at(step)
        factor = clip_factor(record.gradient_norm, self._clip) / num_samples
        np.multiply(self.gradient, factor, out=self.gradient)
        self._step_size = record.rate * self._scale
        self._clock = self.age + record.clock
        return is_finite(record.gradient_norm, self.gradient)

    def predict_shard(self, shard: int) -> None:
        """Move the parameters that were just read, where a compensation does that."""
        if self._compensation is not None:
            self._compensation.predict(self.parameters_of[shard], self._state_of[shard])

    def compute(self, parameters: Vector | None = None) -> None:
        """Run the optimiser on the whole vector: ``change`` is ready but for the factor.

        Args:
            parameters: (n,), those that the gradient was computed from, where they are elsewhere.
        """
        read = self.parameters if parameters is None else parameters
        if self._compensation is not None:
            scratch = self.change, self._scratch
            self._compensation.correct(
                self.gradient, read, None, 0, self.state, self._clock, scratch
            )
        self._run(self.state, self.gradient, read, self.change)

    def finish_shard(self, shard: int, tau: int, present: Vector | None) -> float:
        """Finish the change of one shard, inside its write section; return the factor.

        What needs the present values is computed here, the rest was by ``compute``.

        Args:
            shard: number of the shard.
            tau: staleness of its update.
            present: (m,), what it will be added to, unchanged; None without ``needs_present``.

        Raises:
            MpitrainError: the corrected gradient is not finite; the shard is unchanged.
        """
        compensation, change = self._compensation, self.change_of[shard]
        state, scratch = self._state_of[shard], self._scratch_of[shard]
        if self.needs_present and compensation is not None:
            gradient, read = self.gradient_of[shard], self.parameters_of[shard]
            compensation.correct(
                gradient, read, present, tau, state, self._clock, (change, scratch)
            )
            _check_finite(gradient, shard)
            self._run(state, gradient, read, change)
        factor = self._factor(tau)
        if factor != 1.0:
            np.multiply(change, factor, out=change)
        if compensation is not None:
            compensation.learn(change, tau, state, self._clock, scratch)
        return factor

    def norm(self) -> float:
        """Return the Euclidean norm of ``change``."""
        return float(sum_of_squares(self.change) ** 0.5)

    def _run(
        self, state: dict[str, Vector], gradient: Vector, parameters: Vector, change: Vector
    ) -> None:
        self._optimizer.update_into(
            state, gradient, parameters, self._step_size, self._clock, change
        )


def _check_finite(gradient: Vector, shard: int) -> None:
    if not is_finite(sum_of_squares(gradient), gradient):
        message = (
            f"the gradient of shard {shard}, corrected for its staleness, is not finite and was "
            "not applied; take a smaller optimizer.rate or a weaker staleness.compensation"
        )
        raise MpitrainError(message)
