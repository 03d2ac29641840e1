"""Gradient coherence: how well the gradient agrees with those of a while ago.

At points x_k along a run the gradient of the mean loss over a fixed sample of the training data is
kept for the last few points, and

    mu_k = min over the points t kept, k among them, of <g(x_k), g(x_t)> / |g(x_k)|^2

Positive means that every gradient kept still points downhill along the present one, so that an
update that late helps; it is one where nothing but the present gradient is kept. The cosines
between the present gradient and each before are told too.

Source: Dai, Zhou, Dong, Zhang, Xing, "Toward understanding the impact of staleness in distributed
machine learning", ICLR 2019 (the definition as remembered, not checked against the text).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import to_host
from mpitrain.core.batch import Batch
from mpitrain.core.phases import EVALUATION
from mpitrain.core.seeds import generator
from mpitrain.data.source import Source
from mpitrain.models.model import Model
from mpitrain.modes.mode import Watched
from mpitrain.plan import Plan

Vector = npt.NDArray[Any]
PIECE = 1024  # samples whose gradient is computed at a time


class Coherence:
    """Measures on the present parameters of a mode, between two steps; moves no clock.

    Attributes:
        note: told phase and clock when a measurement begins.
    """

    def __init__(
        self,
        mode: Watched,
        model: Model,
        source: Source,
        *,
        samples: npt.NDArray[np.int64],
        num_lags: int,
        num_shards: int,
        xp: Any = np,
    ) -> None:
        """Measure with the gradient of some samples.

        Args:
            mode: knows the parameters.
            model: what is differentiated.
            source: of the training data.
            samples: (N,), N >= 1, those that the loss is the mean over.
            num_lags: gradients before that are kept, >= 1.
            num_shards: S, of the mode's versions.
            xp: array module of what the model is given.
        """
        self.note: Callable[[int, int], None] = lambda _phase, _clock: None
        self._mode, self._model, self._source = mode, model, source
        self._samples = samples
        layout = model.layout
        self._parameters = np.zeros(layout.size, layout.dtype)
        self._xp = xp
        self._piece = xp.zeros(layout.size, layout.dtype)
        self._versions = np.zeros(num_shards, np.int64)
        self._before: deque[Vector] = deque(maxlen=num_lags)

    @classmethod
    def of(cls, mode: Watched, plan: Plan) -> Self:
        """Return what measures as a run file says; the sample depends on the seed alone."""
        run, num = plan.config.run, plan.source.num_samples
        random = generator(run.seed, "coherence")
        chosen = np.sort(random.choice(num, min(run.coherence_samples, num), replace=False))
        return cls(
            mode,
            plan.model,
            plan.source,
            samples=chosen.astype(np.int64),
            num_lags=run.coherence_lags,
            num_shards=plan.shards.count,
            xp=plan.twin.xp,
        )

    def outcome(self) -> dict[str, Any]:
        """Measure; return steps, mu, the gradient's norm, and the cosines, newest first.

        Collective: no.
        """
        mode = self._mode
        self.note(EVALUATION, mode.clock)
        mode.snapshot_into(self._parameters, self._versions)
        gradient = self._gradient()
        dots = [float(gradient @ before) for before in self._before]
        norms = [float(np.linalg.norm(before)) for before in self._before]
        squared = float(gradient @ gradient)
        norm = squared**0.5
        self._before.appendleft(gradient)
        return {
            "steps": mode.steps_done,
            "mu": mu_of(dots, squared),
            "norm": norm,
            "cosines": [
                dot / (norm * other) if norm * other else 0.0
                for dot, other in zip(dots, norms, strict=True)
            ],
        }

    def _gradient(self) -> npt.NDArray[np.float64]:
        """Return the gradient of the mean loss: (n,), float64, new."""
        layout, total = self._model.layout, np.zeros(len(self._parameters))
        xp = self._xp
        parameters, out = layout.views(xp.asarray(self._parameters)), layout.views(self._piece)
        for first in range(0, len(self._samples), PIECE):
            samples = self._samples[first : first + PIECE]
            x = np.empty((len(samples), *self._source.sample_shape), layout.dtype)
            y = np.empty(len(samples), np.int64)
            self._source.gather_into(samples, x, y)
            self._model.loss_and_gradient(parameters, Batch(xp.asarray(x), xp.asarray(y)), out)
            total += to_host(self._piece)
        return total / len(self._samples)


def mu_of(dots: Iterable[float], squared: float) -> float:
    """Return mu of a gradient with this squared norm and these products with those before.

    It is 1 of a gradient that is zero.
    """
    return float(np.min([1.0, *(dot / squared for dot in dots)])) if squared else 1.0
