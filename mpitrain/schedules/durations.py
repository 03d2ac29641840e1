"""How long simulated ranks compute: distributions, speeds, and injected lateness; pure.

Every rank has a random stream of its own, so what one draws does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mpitrain.config import Straggler
from mpitrain.core.seeds import generator
from mpitrain.schedules.simulator import NextSeconds
from mpitrain.schedules.stragglers import DRAWS, mean_delay_of, random_of

Seconds = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Seconds]  # how many -> that many, mean 1 or seconds

BLOCK = 128  # drawn at a time
LEAST_S = 1e-9  # a step takes some time


def constant() -> Draw:
    """Return what draws always 1."""
    return lambda _random, num: np.ones(num)


def exponential() -> Draw:
    """Return what draws exponentially distributed numbers of mean 1."""
    return lambda random, num: random.exponential(size=num)


def lognormal(spread: float) -> Draw:
    """Return what draws numbers of mean 1 whose logarithm has the standard deviation ``spread``."""
    return lambda random, num: random.lognormal(-(spread**2) / 2, spread, num)


def pareto(exponent: float) -> Draw:
    """Return what draws from a power law with this exponent > 1, scaled to mean 1."""
    least = (exponent - 1) / exponent
    return lambda random, num: least * (1 + random.pareto(exponent, num))


def measured(samples: Seconds) -> Draw:
    """Return what draws one of ``samples``, (N,), N >= 1, each as likely."""
    return lambda random, num: random.choice(samples, num)


class Durations:
    """Seconds of one rank's steps; call it once for each clock, in order."""

    def __init__(
        self,
        draw: Draw,
        scale_s: float,
        random: np.random.Generator,
        late: NextSeconds | None,
        *,
        is_late_in_steps: bool,
    ) -> None:
        """Draw from ``random``.

        Args:
            draw: of the computing time, relative to ``scale_s``.
            scale_s: seconds, > 0.
            random: of this rank's computing times.
            late: injected lateness at a clock; None for none.
            is_late_in_steps: whether that is in multiples of the mean computing time so far.
        """
        self._draw, self._scale_s, self._random = draw, scale_s, random
        self._late, self._is_in_steps = late, is_late_in_steps
        self._block: list[float] = []
        self._sum_s, self._num = 0.0, 0

    def __call__(self, clock: int) -> float:
        """Return the seconds of the step at ``clock``."""
        if not self._block:
            drawn = self._scale_s * self._draw(self._random, BLOCK)
            self._block = np.maximum(drawn, LEAST_S)[::-1].tolist()
        seconds = self._block.pop()
        if self._late is None:
            return seconds
        self._sum_s += seconds
        self._num += 1
        unit_s = self._sum_s / self._num if self._is_in_steps else 1.0
        return seconds + self._late(clock) * unit_s


def durations_of(
    draws: Sequence[Draw],
    scales_s: Sequence[float],
    seed: int,
    straggler: Straggler | None = None,
    straggler_seed: int = 0,
) -> list[Durations]:
    """Return the computing times of all ranks.

    Args:
        draws: of each rank.
        scales_s: of each rank, seconds: what ``draws`` are multiplied by.
        seed: of what is random here.
        straggler: injected lateness, as for live ranks; None for none.
        straggler_seed: run.seed, which decides the lateness of live ranks.
    """
    return [
        Durations(
            draw,
            scale_s,
            generator(seed, "compute", rank),
            None if straggler is None else _late(straggler, straggler_seed, rank),
            is_late_in_steps=straggler is not None and straggler.unit == "step",
        )
        for rank, (draw, scale_s) in enumerate(zip(draws, scales_s, strict=True))
    ]


def _late(settings: Straggler, seed: int, rank: int) -> NextSeconds | None:
    mean = mean_delay_of(settings, rank)
    if mean is None:
        return None
    draw, random = DRAWS[settings.kind](settings), random_of(seed, rank)
    return lambda clock: mean * draw(random, clock)
