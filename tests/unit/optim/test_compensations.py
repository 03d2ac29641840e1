"""Steps computed by hand: shard by shard in a write section, with what it finds there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import MpitrainError, UserError
from mpitrain.core.shards import Shards
from mpitrain.modes.record import StepRecord
from mpitrain.modes.update import Update
from mpitrain.names import COMPENSATIONS
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.dana_slim import DanaSlim
from mpitrain.optim.dc_asgd import DcAsgdA, DcAsgdC
from mpitrain.optim.fused import NOTHING
from mpitrain.optim.gap_aware import GapAware
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.schedules import Schedule
from mpitrain.optim.sgd import Sgd
from mpitrain.optim.weight_prediction import WeightPrediction

PeakBytes = Callable[[Callable[[], object]], int]
SUBJECTS: dict[str, Compensation] = {
    "dana_slim": DanaSlim(),
    "dc_asgd_a": DcAsgdA(),
    "dc_asgd_c": DcAsgdC(),
    "gap_aware": GapAware(weight_decay=0.1),
    "prediction": WeightPrediction(),
}
READ = [np.array([1.0, -2.0, 0.5]), np.array([0.9, -1.5, 0.75])]
PRESENT = [np.array([1.25, -2.0, 0.0]), np.array([1.0, -1.0, 0.5])]
GRADIENT = [np.array([0.4, -1.0, 2.0]), np.array([-0.3, 0.5, 1.0])]
TAUS = [2, 8]
RATE = 0.1


def steps(
    compensation: Compensation,
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
    for found, gradient, tau in zip(steps(NOTHING), GRADIENT, TAUS, strict=True):
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
    gap = np.minimum(gap, 8)  # no more than the staleness
    assert second["change"] == pytest.approx(-RATE * whole[1] / (1 + gap) / 8, rel=1e-12)


def test_gap_is_measured_in_updates() -> None:
    """After a change of -0.02, a distance of 0.1 is five updates: the gradient counts a sixth."""
    second = steps(GapAware(0.999))[1]
    assert second["change"][0] == pytest.approx(-RATE * -0.3 / 6 / 8, rel=1e-9)


def test_parameter_that_a_rank_seldom_changes_is_not_frozen() -> None:
    """Its first gradient is 0, and others move it: the gap counts as the staleness at most."""
    update = Update(
        Sgd(), Schedule("constant", RATE), Shards(1, 1, 1), "float64", compensation=GapAware()
    )
    for clock, gradient in enumerate([0.0, 1.0, 1.0]):
        update.parameters[:], update.gradient[:] = 0.0, gradient
        assert update.begin(StepRecord(1, clock=clock), 1, clock)
        update.finish_shard(0, 3, np.ones(1))
        assert abs(update.change[0]) >= RATE * gradient / 4


def test_mean_change_is_one_of_all_changes_so_far() -> None:
    """Over 5 steps, weighted by age: older ones count less by the decay, and all weights by 1."""
    gap_aware, random = GapAware(0.75), np.random.default_rng(3)
    update = Update(
        Sgd(), Schedule("constant", RATE), Shards(4, 1, 1), "float64", compensation=gap_aware
    )
    changes: list[Any] = []
    for clock in range(5):
        gradient, read, present = random.standard_normal((3, 4))
        update.parameters[:], update.gradient[:] = read, gradient
        assert update.begin(StepRecord(1, clock=clock), 1, clock)
        update.finish_shard(0, 5, present)
        penalty = np.ones(4)
        if changes:
            weights = 0.75 ** np.arange(len(changes))[::-1]
            mean = (weights / weights.sum()) @ np.square(changes)
            penalty = 1 + np.minimum(np.abs(present - read) / (np.sqrt(mean) + 1e-12), 5)
        changes.append(update.change.copy())
        assert changes[-1] == pytest.approx(-RATE * gradient / penalty, rel=1e-12)


def test_corrected_gradient_that_is_not_finite_is_not_applied() -> None:
    """The product of three finite numbers may be infinite; a large norm alone is none."""
    update = Update(
        Sgd(), Schedule("constant", RATE), Shards(2, 2, 1), "float32", compensation=DcAsgdC(1.0)
    )
    update.gradient[:] = [1e19, 1e18]
    assert update.begin(StepRecord(2), 1, 0)
    with np.errstate(over="ignore"):
        update.finish_shard(1, 1, np.array([1e1], "float32"))
        with pytest.raises(MpitrainError, match=r"change of shard 0, .* not finite"):
            update.finish_shard(0, 1, np.array([1e10], "float32"))


def test_prediction_goes_ahead_by_the_last_change_times_the_last_staleness() -> None:
    """Nothing is known before the first update."""
    first, second = steps(WeightPrediction())
    assert first["used"].tolist() == READ[0].tolist()
    assert second["used"] == pytest.approx(READ[1] + 2 * first["change"], rel=1e-14)
    assert second["change"] == pytest.approx(-RATE * GRADIENT[1] / 8, rel=1e-14)


def test_dana_slim_looks_ahead_along_its_momentum() -> None:
    """V <- gamma v + g; the step is along gamma v + g."""
    velocity = np.zeros(3)
    for number, found in enumerate(steps(DanaSlim(0.5))):
        velocity = 0.5 * velocity + GRADIENT[number]
        wanted = -RATE * (0.5 * velocity + GRADIENT[number]) / TAUS[number]
        assert found["change"] == pytest.approx(wanted, rel=1e-12)


def test_dana_slim_without_weight_decay_is_nesterov() -> None:
    """Bit for bit: with windows every rank has a velocity of its own anyway."""
    for one, other in zip(steps(DanaSlim(0.5)), steps(NOTHING, Nesterov(0.5)), strict=True):
        assert one["change"].tobytes() == other["change"].tobytes()


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


def test_names_make_what_is_tested_here() -> None:
    """With the defaults of the run file; without adamw's decay, which is no part of a gradient."""
    tables: dict[str, Any] = {"mode": {"kind": "asp"}}
    assert set(COMPENSATIONS) == {*SUBJECTS, "none"}
    for name, subject in SUBJECTS.items():
        plain = COMPENSATIONS[name](from_mapping({**tables, "optimizer": {"weight_decay": 0.1}}))
        assert plain == subject
    tables["optimizer"] = {"kind": "adamw", "weight_decay": 0.1}
    assert COMPENSATIONS["gap_aware"](from_mapping(tables)) == GapAware()


@pytest.mark.parametrize("name", ["none", *SUBJECTS])
def test_step_allocates_no_vector(name: str, peak_bytes: PeakBytes) -> None:
    """Of 100,000 elements none is copied into new memory."""
    num, record = 100_000, StepRecord(2, clock=3)
    update = Update(
        Momentum(0.9, 0.1),
        Schedule("constant", RATE),
        Shards(num, 2, 2),
        "float64",
        factor=lambda tau: 1 / tau,
        compensation=SUBJECTS.get(name, NOTHING),
    )
    present = np.ones(num // 2) if update.needs_present else None
    update.gradient[:] = 1.0

    def step() -> None:
        for shard in range(2):
            update.predict_shard(shard)
        update.begin(record, 1, 3)
        if not update.needs_present:
            update.compute()
        for shard in range(2):
            update.finish_shard(shard, 3, present)

    step()
    assert peak_bytes(step) < num
