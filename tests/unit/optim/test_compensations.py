"""Steps computed by hand: shard by shard in a write section, with what it finds there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.core.shards import Shards
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.dana_slim import DanaSlim
from mpitrain.optim.dc_asgd import DcAsgdA, DcAsgdC
from mpitrain.optim.gap_aware import GapAware
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.schedules import Schedule
from mpitrain.optim.sgd import Sgd
from mpitrain.optim.weight_prediction import WeightPrediction

READ = [np.array([1.0, -2.0, 0.5]), np.array([0.9, -1.5, 0.75])]
PRESENT = [np.array([1.25, -2.0, 0.0]), np.array([1.0, -1.0, 0.5])]
GRADIENT = [np.array([0.4, -1.0, 2.0]), np.array([-0.3, 0.5, 1.0])]
TAUS = [2, 3]
RATE = 0.1


def steps(
    compensation: Compensation | None,
    optimizer: Any = None,
    *,
    num_shards: int = 2,
    dtype: str = "float64",
) -> list[dict[str, Any]]:
    """Take two steps; return what each used and what it would add."""
    update = Update(
        optimizer or Sgd(),
        Schedule("constant", RATE),
        Shards(3, num_shards, 1),
        dtype,
        factor=lambda tau: 1 / tau,
        compensation=compensation,
    )
    record, found = StepRecord(num_shards), []
    for clock in range(2):
        record.clock = clock
        update.parameters[:] = READ[clock]
        for shard in range(num_shards):
            update.predict_shard(shard)
        used = update.parameters.copy()
        update.gradient[:] = 4 * GRADIENT[clock]
        assert update.begin(record, 4, clock)
        if not update.needs_present:
            update.compute()
        for shard in range(num_shards):
            part = Shards(3, num_shards, 1).slice(shard)
            present = PRESENT[clock].astype(dtype)[part] if update.needs_present else None
            update.finish_shard(shard, TAUS[clock], present)
        found.append({"used": used, "change": update.change.copy(), **update.state})
    return found


def test_without_compensation() -> None:
    """The optimiser's step times the factor."""
    for found, gradient, tau in zip(steps(None), GRADIENT, TAUS, strict=True):
        assert found["change"] == pytest.approx(-RATE * gradient / tau, rel=1e-14)


def test_dc_asgd_with_a_constant() -> None:
    """G + lambda g g (present - read)."""
    for number, found in enumerate(steps(DcAsgdC(0.5))):
        g, moved = GRADIENT[number], PRESENT[number] - READ[number]
        wanted = -RATE * (g + 0.5 * g * g * moved) / TAUS[number]
        assert found["change"] == pytest.approx(wanted, rel=1e-12)
    # the first element of the first step: g 0.4, moved by 0.25: 0.4 + 0.5 x 0.16 x 0.25 = 0.42
    assert steps(DcAsgdC(0.5))[0]["change"][0] == pytest.approx(-0.1 * 0.42 / 2, rel=1e-12)


def test_dc_asgd_with_an_adaptive_control() -> None:
    """Lambda = lambda_0 / sqrt(MS + 1e-7), MS with the newest gradient in it."""
    mean = np.zeros(3)
    for number, found in enumerate(steps(DcAsgdA(2.0, 0.75))):
        g, moved = GRADIENT[number], PRESENT[number] - READ[number]
        mean = 0.75 * mean + 0.25 * g * g
        wanted = -RATE * (g + 2.0 / np.sqrt(mean + 1e-7) * g * g * moved) / TAUS[number]
        assert found["change"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_gap_aware(weight_decay: float) -> None:
    """The first step is whole; the second is divided by 1 + distance / root mean square change."""
    first, second = steps(GapAware(0.75, weight_decay), Sgd(weight_decay))
    whole = [g + weight_decay * read for g, read in zip(GRADIENT, READ, strict=True)]
    assert first["change"] == pytest.approx(-RATE * whole[0] / 2, rel=1e-12)
    # of one change the corrected mean square is its square
    gap = np.abs(PRESENT[1] - READ[1]) / (np.abs(first["change"]) + 1e-12)
    assert second["change"] == pytest.approx(-RATE * whole[1] / (1 + gap) / 3, rel=1e-12)


def test_gap_is_measured_in_updates() -> None:
    """After a change of -0.02, a distance of 0.1 is five updates: the gradient counts a sixth."""
    second = steps(GapAware(0.999))[1]
    assert second["change"][0] == pytest.approx(-RATE * -0.3 / 6 / 3, rel=1e-9)


def test_prediction_goes_ahead_by_the_last_change_times_the_last_staleness() -> None:
    """Nothing is known before the first update."""
    first, second = steps(WeightPrediction())
    assert first["used"].tolist() == READ[0].tolist()
    assert second["used"] == pytest.approx(READ[1] + 2 * first["change"], rel=1e-14)
    assert second["change"] == pytest.approx(-RATE * GRADIENT[1] / 3, rel=1e-14)


def test_dana_slim_looks_ahead_along_its_momentum() -> None:
    """V <- gamma v + g; the step is along gamma v + g."""
    velocity = np.zeros(3)
    for number, found in enumerate(steps(DanaSlim(0.5))):
        velocity = 0.5 * velocity + GRADIENT[number]
        wanted = -RATE * (0.5 * velocity + GRADIENT[number]) / TAUS[number]
        assert found["change"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "compensation",
    [DcAsgdC(0.5), DcAsgdA(), GapAware(), GapAware(0.9, 0.1), WeightPrediction(), DanaSlim()],
)
@pytest.mark.parametrize("optimizer", [Sgd(), Momentum(0.9, 0.1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_cut(
    compensation: Compensation, optimizer: Any, dtype: str
) -> None:
    """Whole, in two and in three shards."""
    whole, two, three = (
        steps(compensation, optimizer, num_shards=num, dtype=dtype) for num in (1, 2, 3)
    )
    for one, others in zip(whole, zip(two, three, strict=True), strict=True):
        for other in others:
            assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_dana_slim_needs_plain_sgd() -> None:
    """It brings its own momentum; in synchronous training it is not used."""
    tables = {
        "mode": {"kind": "asp"},
        "staleness": {"compensation": "dana_slim"},
        "optimizer": {"kind": "momentum"},
    }
    with pytest.raises(UserError, match=r"'dana_slim' brings .* needs optimizer\.kind 'sgd'"):
        from_mapping(tables)
    from_mapping(tables | {"mode": {"kind": "bsp"}})
    assert math.isclose(from_mapping({}).staleness.adaptive_control, 2.0)
