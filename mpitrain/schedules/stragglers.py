"""Injected lateness as arithmetic: how long a rank is to be late at each of its steps.

A delay is a number of seconds, or of measured steps. Delays are drawn from a generator of their own
per rank, so the same run file gives the same delays, to live ranks and to simulated ones.

Source of the patterns: Harlap et al., "Addressing the straggler problem for iterative convergent
parallel ML" (FlexRR), SoCC 2016.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mpitrain.config import Straggler
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


def mean_delay_of(settings: Straggler, rank: int) -> float | None:
    """Return the mean delay of ``rank`` in ``settings.unit``; None when it is not delayed."""
    if settings.kind == "none" or (settings.ranks and rank not in settings.ranks):
        return None
    delays = settings.delay
    return delays[rank % len(delays)] if isinstance(delays, tuple) else delays


def random_of(seed: int, rank: int) -> np.random.Generator:
    """Return the generator of a rank's delays."""
    return generator(seed, "straggler", rank)
