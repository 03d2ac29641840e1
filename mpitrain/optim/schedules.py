"""Learning rates as pure functions of the step number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.core.errors import unknown


@dataclass(frozen=True)
class Schedule:
    """A curve after a linear warm-up. Steps are steps of all ranks together, from 0.

    During the warm-up step t has the rate * (t + 1) / warmup_steps; then

        constant        rate
        step            rate * decay^(t // every_steps), counted from step 0
        cosine          half a cosine from rate, right after the warm-up, to final at total_steps
        inverse_sqrt    rate * sqrt(w / max(t + 1, w)), w = max(warmup_steps, 1)

    Attributes:
        kind: name of the curve.
        rate: learning rate after the warm-up.
        warmup_steps: length of the warm-up; 0 means none.
        total_steps: length of the run; only cosine asks. The rate stays at ``final`` from there.
        every_steps: steps between two decays of kind step, >= 1.
        decay: factor per ``every_steps`` of kind step.
        final: last rate of kind cosine.

    Source: Goyal et al. 2017, section 2.2 (warm-up); Loshchilov and Hutter 2017, equation 5
    (cosine, one period); Vaswani et al. 2017, equation 3 (inverse square root).
    """

    kind: str
    rate: float
    warmup_steps: int = 0
    total_steps: int = 0
    every_steps: int = 1
    decay: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in CURVES:
            raise unknown("optimizer.schedule", self.kind, CURVES)  # noqa: EM101  # not a message

    def rate_at(self, step: int) -> float:
        """Return the learning rate of step number ``step`` >= 0."""
        if step < self.warmup_steps:
            return self.rate * (step + 1) / self.warmup_steps
        return CURVES[self.kind](self, step)


def _constant(schedule: Schedule, step: int) -> float:
    return schedule.rate


def _step(schedule: Schedule, step: int) -> float:
    exponent = step // schedule.every_steps
    try:
        return schedule.rate * schedule.decay**exponent
    except OverflowError:  # a decay above 1
        return math.inf


def _cosine(schedule: Schedule, step: int) -> float:
    length = max(schedule.total_steps - schedule.warmup_steps, 1)
    progress = min((step - schedule.warmup_steps) / length, 1.0)
    share = (1 + math.cos(math.pi * progress)) / 2
    return schedule.final + (schedule.rate - schedule.final) * share


def _inverse_sqrt(schedule: Schedule, step: int) -> float:
    start = max(schedule.warmup_steps, 1)
    return schedule.rate * math.sqrt(start / max(step + 1, start))


CURVES: dict[str, Callable[[Schedule, int], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "inverse_sqrt": _inverse_sqrt,
    "step": _step,
}
