from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from mpitrain.config import Straggler
from mpitrain.running.straggler import make_injector


def delays_of(settings: Straggler, rank: int, num: int, seed: int = 1) -> list[float]:
    """Return the delays of ``num`` steps without sleeping, in the settings' unit."""
    injector = make_injector(settings, seed, rank)
    assert injector is not None
    return [injector.mean_delay * injector.draw(injector.random, clock) for clock in range(num)]


@pytest.mark.parametrize("kind", ["exponential", "pareto"])
def test_random_delays_have_the_stated_mean_and_repeat(kind: str) -> None:
    """20,000 delays average to the delay asked for; the same seed gives the same ones."""
    settings = Straggler(kind=kind, delay=0.01, exponent=4.0)
    delays = delays_of(settings, 2, 20_000)
    assert np.mean(delays) == pytest.approx(0.01, rel=0.05)
    assert delays[:50] == delays_of(settings, 2, 50)
    assert delays[:50] != delays_of(settings, 3, 50)
    assert min(delays) >= 0


def test_constant_delays_may_differ_by_rank() -> None:
    """A list gives each rank its own."""
    settings = Straggler(kind="constant", delay=(0.005, 0.02))
    assert delays_of(settings, 0, 2) == [0.005, 0.005]
    assert delays_of(settings, 1, 2) == [0.02, 0.02]


def test_periodic_delays_fill_the_slow_phase() -> None:
    """Three slow steps of every ten."""
    settings = Straggler(kind="periodic", delay=1.0, period_steps=10, slow_steps=3)
    assert delays_of(settings, 0, 20) == ([1.0] * 3 + [0.0] * 7) * 2


@pytest.mark.parametrize(
    "settings", [{"kind": "none"}, {"kind": "constant", "delay": 1.0, "ranks": (1,)}]
)
def test_rank_that_is_not_chosen_has_no_injector(settings: dict[str, Any]) -> None:
    """Nothing is called in the step of a rank that is on time."""
    assert make_injector(Straggler(**settings), 0, 0) is None


def test_delay_in_steps_is_a_multiple_of_the_measured_mean() -> None:
    """Computing 10 ms and then 30 ms with delay 1 step sleeps 10 ms and then 20 ms."""
    injector = make_injector(Straggler(kind="constant", delay=1.0, unit="step"), 0, 0)
    assert injector is not None
    for computed_s, least_s in ((0.01, 0.01), (0.03, 0.02)):
        began = time.perf_counter()
        injector.delay(0, computed_s)
        slept_s = time.perf_counter() - began
        assert least_s <= slept_s < least_s + 0.5  # a sleep is never short


def test_no_delay_is_longer_than_the_system_can_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heavy tail has no end; the largest mean delay times a large draw is such a one."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    injector = make_injector(Straggler(kind="pareto", delay=1e6), seed=1, rank=0)
    assert injector is not None
    injector.draw = lambda _random, _clock: 1e6
    injector.delay(0, 0.0)
    assert slept == [1e9]
