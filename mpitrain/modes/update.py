"""One rank's update: from a summed gradient to what is added to the parameters.

The order is: mean over the samples, clip by global norm, compensation (per shard, it sees the
present values), optimiser, rate x factor x scale. All of it is one pass over memory, as far as all
of it is known at once: what needs a shard's staleness or its present values waits for its write
section.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.errors import MpitrainError
from mpitrain.core.measures import clip_factor, is_finite
from mpitrain.core.shards import Shards
from mpitrain.kernels.kernel import Run
from mpitrain.kernels.twins import SquaredNorm, Twin, host_twin
from mpitrain.modes.record import StepRecord
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.factors import Factor
from mpitrain.optim.factors import none as no_factor
from mpitrain.optim.fused import NOTHING, FusedUpdate, update_scalars
from mpitrain.optim.schedules import Schedule


class Update:
    """Turns gradients into additive updates, whole or shard by shard; allocates nothing per step.

    Attributes:
        gradient: (n,), ``dtype`` as all vectors, where the twin runs as all of them; the model
            writes the summed gradient here.
        parameters: (n,), what the gradient is computed from.
        change: (n,), what is to be added to the parameters; (0,) with ``applies``.
        state: the vectors of optimiser and compensation, each (n,).
        twin: what runs the update.
        needs_present: ``finish_shard`` needs the present parameters, and ``compute`` must wait.
        needs_read: ``parameters`` must stay what was read, or is changed by ``predict_shard``.
        is_final: ``compute`` leaves nothing to ``finish_shard`` but to say that the factor is 1.
        predicts: ``predict_shard`` does something.
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
        compensation: Compensation = NOTHING,
        gradient: Array | None = None,
        applies: bool = False,
        twin: Twin | None = None,
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
            compensation: corrects stale gradients.
            gradient: (n,), used instead of memory of its own, by several in turn.
            applies: ``apply`` is used, not ``compute`` and ``finish_shard``.
            twin: what runs the update, and where its vectors are; None is the fastest there is on
                the host.
        """
        size = shards.size
        self.twin = host_twin() if twin is None else twin
        xp = self.twin.xp
        self.gradient: Array = xp.zeros(size, dtype) if gradient is None else gradient
        self.parameters: Array = xp.zeros(size, dtype)
        self.change: Array = xp.zeros(0 if applies else size, dtype)
        self.age = 0
        names = (*optimizer.state_names, *compensation.state_names)
        self.state: dict[str, Array] = {name: xp.zeros(size, dtype) for name in names}
        self.needs_present = compensation.needs_present
        self.needs_read = compensation.needs_read
        self.is_final = not (self.needs_present or compensation.learn or factor is not no_factor)
        self.predicts = bool(compensation.predict)
        self._factor, self._compensation = factor, compensation
        self._optimizer = optimizer
        self._schedule = schedule
        self._clip = clip
        self._scale = scale
        self._clock = 0
        self._scalars: dict[str, float] = {}
        slices = [shards.slice(shard) for shard in range(shards.count)]
        self.parameters_of = [self.parameters[part] for part in slices]
        self.change_of = [self.change[part] for part in slices]
        whole = {"gradient": self.gradient, "parameters": self.parameters, "change": self.change}
        self._whole: Mapping[str, Array] = whole | self.state
        self._part_of = [{k: v[part] for k, v in self._whole.items()} for part in slices]
        self._fused = FusedUpdate(optimizer, compensation, dtype, self.twin)
        self._is_measured = applies or self.is_final or self.needs_present  # in the same pass
        self._bind(applies=applies)

    def _bind(self, *, applies: bool) -> None:
        """Make all kernels, so that no step waits for a compiler."""
        # the first is of the whole change where that is known at once, else each of a shard
        self._squares: Array = self.twin.xp.zeros(len(self._part_of))
        self._gradient_norm = SquaredNorm(self.gradient, self.twin)
        self._change_norm = SquaredNorm(self.change, self.twin)
        fused, first = self._fused, self._squares[:1]
        self._run: Run | None = None
        self._run_elsewhere: Run | None = None
        self._finish_of: list[Run] = []
        self._presents: list[Array | None] = [None] * len(self._part_of)
        if self.needs_present:
            for shard, part in enumerate(self._part_of):
                self._finish_of.append(self._bound_to(shard, part["change"]))
        else:
            squared = first if self.is_final or applies else None  # else the norm comes later
            self._run = fused.bind(self._whole, squared, finishes=False, applies=applies)
        if not (self.needs_present or applies):
            self._finish_of = [fused.bind(part, begins=False) for part in self._part_of]
        if self.predicts:
            self._predict_of = [fused.bind_prediction(part) for part in self._part_of]

    def read_from(self, parameters: Array) -> None:
        """Let ``compute`` take other parameters where it is told to.

        Args:
            parameters: (n,), those that the gradient is computed from then; not changed.
        """
        if self._run is not None:
            vectors = {**self._whole, "parameters": parameters}
            squared = self._squares[:1] if self.is_final else None
            self._run_elsewhere = self._fused.bind(vectors, squared, finishes=False)

    def begin(self, record: StepRecord, num_samples: int, step: int) -> bool:
        """Measure the summed gradient and look up the rate.

        Returns whether all of it is finite; what is not must not be applied.

        Args:
            record: its clock is used; gradient_norm (of the mean, before clipping) and rate are
                filled in.
            num_samples: how many samples the gradient sums over.
            step: number that the schedule goes by.
        """
        record.gradient_norm = self._gradient_norm.value() ** 0.5 / num_samples
        record.rate = self._schedule.rate_at(step)
        factor = clip_factor(record.gradient_norm, self._clip) / num_samples
        self._clock = self.age + record.clock
        self._scalars = update_scalars(
            self._optimizer, record.rate * self._scale, self._clock, factor
        )
        return is_finite(record.gradient_norm, self.gradient)

    def predict_shard(self, shard: int) -> None:
        """Move the parameters that were just read, where a compensation does that."""
        if self.predicts:
            self._predict_of[shard]({})

    def apply(self) -> None:
        """Add the change to the parameters; see ``applies``."""
        assert self._run is not None
        self._run(self._scalars)

    def compute(self, *, is_elsewhere: bool = False) -> None:
        """Run the optimiser on the whole vector: ``change`` is ready but for the factor.

        Args:
            is_elsewhere: the gradient was computed from the parameters of ``read_from``.
        """
        run = self._run_elsewhere if is_elsewhere else self._run
        assert run is not None
        run(self._scalars | self._compensation.scalars(0, self._clock))

    def finish_shard(self, shard: int, tau: int, present: Array | None) -> float:
        """Finish the change of one shard, inside its write section; return the factor.

        What needs the present values is computed here, the rest was by ``compute``.

        Args:
            shard: number of the shard.
            tau: staleness of its update.
            present: (m,), what it will be added to, unchanged; None without ``needs_present``.
                It is cheaper when it is the same memory step after step.

        Raises:
            MpitrainError: the corrected gradient is not finite; the shard is unchanged.
        """
        factor = self._factor(tau)
        if self.needs_present:
            if present is not self._presents[shard]:
                self._finish_of[shard] = self._bound_to(shard, present)
            self._finish_of[shard](self._scalars_of(factor, tau))
            self._check_finite(shard)
        elif factor != 1.0 or self._compensation.learn:
            self._finish_of[shard](self._scalars_of(factor, tau))
        return factor

    def norm(self) -> float:
        """Return the Euclidean norm of the change."""
        if not self._is_measured:
            return float(self._change_norm.value() ** 0.5)
        return float(math.fsum(self._squares.tolist()) ** 0.5)

    def _bound_to(self, shard: int, present: Array | None) -> Run:
        self._presents[shard] = present
        vectors = {**self._part_of[shard], "present": present}
        return self._fused.bind(vectors, self._squares[shard : shard + 1])

    def _scalars_of(self, factor: float, tau: int) -> dict[str, float]:
        return {
            **self._scalars,
            **self._compensation.scalars(tau, self._clock),
            "factor": factor,
        }

    def _check_finite(self, shard: int) -> None:
        if not is_finite(float(self._squares[shard]), self.change_of[shard]):
            message = (
                f"the change of shard {shard}, made from a gradient corrected for its staleness, "
                "is not finite and was not applied; take a smaller optimizer.rate or a weaker "
                "staleness.compensation"
            )
            raise MpitrainError(message)
