"""Loss and metric on the test set, on one consistent snapshot of the parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import copy_into
from mpitrain.core.batch import Batch
from mpitrain.core.phases import EVALUATION
from mpitrain.core.shards import Shards
from mpitrain.data.source import Source
from mpitrain.models.model import Model
from mpitrain.modes.mode import Watched
from mpitrain.modes.record import StepRecord
from mpitrain.running.totals import Totals


@dataclass
class Evaluator:
    """Evaluates the present parameters of a mode, between two steps; moves no clock.

    Attributes:
        parameters: (n,), the snapshot evaluated last.
        versions: (S,) int64, its versions.
        note: told phase and clock when an evaluation begins.
        spent_s: time that evaluations took so far.
        errors: how NumPy is to take errors of floating point in model and data, as in
            ``np.seterr``; empty leaves that as it is.
        xp: array module of what the model is given.
    """

    mode: Watched
    model: Model
    source: Source
    shards: Shards
    errors: Mapping[str, Any] = field(default_factory=dict)
    xp: Any = np

    def __post_init__(self) -> None:
        self.parameters = np.zeros(self.shards.size, self.model.layout.dtype)
        self.versions = np.zeros(self.shards.count, np.int64)
        self.note: Callable[[int, int], None] = lambda _phase, _clock: None
        self.spent_s = 0.0
        self._given: Any = None  # on a device, where there is one; only rank 0 evaluates

    def outcome(self) -> dict[str, Any]:
        """Evaluate; return the steps done, the means, and the versions they were made on.

        Collective: no.
        """
        means = self.evaluate()
        return {"steps": self.mode.steps_done, **means, "versions": self.versions.tolist()}

    def evaluate(self) -> dict[str, float]:
        """Return means over the test set, "loss" and the model's metric; nothing without one.

        Collective: no.
        """
        self.mode.snapshot_into(self.parameters, self.versions)
        return self.means_of(self.parameters)

    def means_of(self, parameters: npt.NDArray[Any]) -> dict[str, float]:
        """Return the means for other ``parameters``, (n,), host; see ``evaluate``.

        Collective: no.
        """
        self.note(EVALUATION, self.mode.clock)
        began_s = time.perf_counter()
        sums: dict[str, float] = {}
        xp, model, given = self.xp, self.model, parameters
        if xp is not np:
            if self._given is None:
                self._given = xp.zeros(self.shards.size, self.parameters.dtype)
            given = self._given
            copy_into(given, parameters)
        views = model.layout.views(given)
        with np.errstate(**self.errors):
            for x, y in self.source.test_slices(model.layout.dtype):
                batch = Batch(xp.asarray(x), xp.asarray(y))
                for name, value in model.evaluate(views, batch).items():
                    sums[name] = sums.get(name, 0.0) + value
        self.spent_s += time.perf_counter() - began_s
        return {name: float(value) / self.source.num_test for name, value in sums.items()}


class Regularly:
    """Acts on this rank whenever all ranks together did another ``every_steps`` steps."""

    def __init__(
        self,
        mode: Watched,
        every_steps: int,
        first_step: int,
        total_steps: int,
        act: Callable[[], None],
    ) -> None:
        """Act between two steps.

        Args:
            mode: knows the steps done.
            every_steps: steps of all ranks from one time to the next, > 0.
            first_step: steps done before this life.
            total_steps: of the run; what is done at the end is not this one's business.
            act: for example evaluates.
        """
        self._mode = mode
        self._every_steps = every_steps
        self._next = (first_step // every_steps + 1) * every_steps
        self._total_steps = total_steps
        self._act = act

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Act when due."""
        steps = self._mode.steps_done
        if self._next <= steps < self._total_steps:
            self._next = (steps // self._every_steps + 1) * self._every_steps
            self._act()
