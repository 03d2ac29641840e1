from __future__ import annotations

import itertools
import math

import pytest

from mpitrain.core.errors import UserError
from mpitrain.optim.schedules import Schedule

KINDS = ("constant", "cosine", "inverse_sqrt", "step")


def test_constant_schedule_stays() -> None:
    """The rate never changes."""
    schedule = Schedule("constant", 0.2)
    assert [schedule.rate_at(step) for step in (0, 1, 10**6)] == [0.2, 0.2, 0.2]


def test_step_schedule_decays_every_so_many_steps() -> None:
    """The rate is multiplied by decay at steps 10, 20, ..."""
    schedule = Schedule("step", 0.8, every_steps=10, decay=0.5)
    rates = [schedule.rate_at(step) for step in (0, 9, 10, 19, 20, 35)]
    assert rates == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.1], rel=1e-15)


def test_cosine_schedule_falls_from_rate_to_final() -> None:
    """Half a cosine: the mean of both ends in the middle, the final rate from the end on."""
    schedule = Schedule("cosine", 1.0, total_steps=100, final=0.2)
    rates = [schedule.rate_at(step) for step in (0, 25, 50, 75, 100, 1000)]
    quarter = 0.4 * math.sqrt(0.5)
    assert rates == pytest.approx([1.0, 0.6 + quarter, 0.6, 0.6 - quarter, 0.2, 0.2], rel=1e-14)


def test_cosine_schedule_starts_after_the_warm_up() -> None:
    """The curve is stretched over what the warm-up leaves of the run."""
    schedule = Schedule("cosine", 1.0, warmup_steps=20, total_steps=120)
    rates = [schedule.rate_at(step) for step in (19, 20, 70, 120)]
    assert rates == pytest.approx([1.0, 1.0, 0.5, 0.0], abs=1e-15)


def test_inverse_sqrt_schedule_halves_when_the_steps_quadruple() -> None:
    """From the end of the warm-up the rate goes with 1 / sqrt(t + 1)."""
    schedule = Schedule("inverse_sqrt", 0.8, warmup_steps=100)
    rates = [schedule.rate_at(step) for step in (99, 399, 1599)]
    assert rates == pytest.approx([0.8, 0.4, 0.2], rel=1e-15)
    bare = Schedule("inverse_sqrt", 0.8)
    assert [bare.rate_at(step) for step in (0, 3, 15)] == pytest.approx([0.8, 0.4, 0.2], rel=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_schedule_warms_up_linearly(kind: str) -> None:
    """Every kind rises in equal steps, never from zero, to the rate in the last warm-up step."""
    schedule = Schedule(kind, 0.5, warmup_steps=5, total_steps=50, every_steps=10, decay=0.5)
    rates = [schedule.rate_at(step) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], rel=1e-15)
    assert schedule.rate_at(5) <= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_schedule_never_rises_after_the_warm_up(kind: str) -> None:
    """Whatever the kind, later rates are not larger, and none is negative."""
    schedule = Schedule(kind, 0.5, warmup_steps=7, total_steps=90, every_steps=10, decay=0.5)
    rates = [schedule.rate_at(step) for step in range(6, 200)]
    assert all(later <= sooner for sooner, later in itertools.pairwise(rates))
    assert min(rates) >= 0


def test_cosine_schedule_holds_when_the_run_ends_in_the_warm_up() -> None:
    """A run shorter than its warm-up just warms up."""
    schedule = Schedule("cosine", 1.0, warmup_steps=10, total_steps=4)
    assert [schedule.rate_at(step) for step in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_schedule_names_the_valid_kinds_when_unknown() -> None:
    """An unknown kind is a user's mistake."""
    with pytest.raises(UserError, match=r"unknown optimizer\.schedule 'linear'; choose from: con"):
        Schedule("linear", 0.1)
