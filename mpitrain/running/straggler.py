"""Injected lateness: makes chosen ranks slow, on purpose and repeatably.

A delay is a number of seconds, or of measured steps (``unit = "step"``: this rank's own mean
compute time so far, without the injected part); ``schedules.stragglers`` says how long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from mpitrain.config import Straggler
from mpitrain.config.setting import MOST_S
from mpitrain.schedules.stragglers import DRAWS, Draw, mean_delay_of, random_of


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
    mean_delay = mean_delay_of(settings, rank)
    if mean_delay is None:
        return None
    return Injector(
        mean_delay=mean_delay,
        is_in_steps=settings.unit == "step",
        draw=DRAWS[settings.kind](settings),
        random=random_of(seed, rank),
    )
