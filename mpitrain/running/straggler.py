"""Injected lateness: makes chosen ranks slow, on purpose and repeatably.

A delay is a number of seconds, or of measured steps (``unit = "step"``: this rank's own mean
compute time so far, without the injected part). Delays are drawn from a generator of their own
per rank, so the same run file gives the same delays.

Source of the patterns: Harlap et al., "Addressing the straggler problem for iterative convergent
parallel ML" (FlexRR), SoCC 2016.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpitrain.config import Straggler
from mpitrain.config.setting import MOST_S
from mpitrain.core.seeds import generator

Draw = Callable[[np.random.Generator, int], float]


def _constant(settings: Straggler) -> Draw:
    return lambda _random, _clock: 1.0


def _exponential(settings: Straggler) -> Draw:
    return lambda random, _clock: random.exponential()


def _pareto(settings: Straggler) -> Draw:
    # Pareto with this exponent and least value, scaled to mean 1
    least = (settings.exponent - 1) / settings.exponent
    return lambda random, _clock: least * (1 + random.pareto(settings.exponent))


def _periodic(settings: Straggler) -> Draw:
    period, slow = settings.period_steps, settings.slow_steps
    return lambda _random, clock: 1.0 if clock % period < slow else 0.0


DRAWS = {
    "constant": _constant,
    "exponential": _exponential,
    "pareto": _pareto,
    "periodic": _periodic,
}


@dataclass
class Injector:
    """Sleeps this rank's delay, once per step.

    Attributes:
        mean_delay: mean delay of this rank, in ``unit``.
        is_in_steps: whether delays are multiples of the measured step.
        draw: gives each step's delay relative to the mean.
        random: this rank's generator.
    """

    mean_delay: float
    is_in_steps: bool
    draw: Draw
    random: np.random.Generator

    def __post_init__(self) -> None:
        self._computed_s = 0.0
        self._num_computed = 0

    def delay(self, clock: int, computed_s: float) -> None:
        """Sleep for the delay of the step at ``clock``.

        Args:
            clock: this rank's clock.
            computed_s: how long the step's own computation took, seconds.
        """
        self._computed_s += computed_s
        self._num_computed += 1
        unit_s = self._computed_s / self._num_computed if self.is_in_steps else 1.0
        delay_s = self.mean_delay * self.draw(self.random, clock) * unit_s
        if delay_s > 0:
            time.sleep(min(delay_s, MOST_S))


def make_injector(settings: Straggler, seed: int, rank: int) -> Injector | None:
    """Return the injector of ``rank``, or None when it is not to be delayed."""
    if settings.kind == "none" or (settings.ranks and rank not in settings.ranks):
        return None
    delays = settings.delay
    mean_delay = delays[rank % len(delays)] if isinstance(delays, tuple) else delays
    return Injector(
        mean_delay=mean_delay,
        is_in_steps=settings.unit == "step",
        draw=DRAWS[settings.kind](settings),
        random=generator(seed, "straggler", rank),
    )
