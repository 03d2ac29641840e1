"""What every fused update promises, on each twin of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.blocks import BLOCK_BYTES
from mpitrain.kernels.kernel import Run
from mpitrain.kernels.twins import SquaredNorm, Twin, device_twin
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.dana_slim import DanaSlim
from mpitrain.optim.dc_asgd import DcAsgdA, DcAsgdC
from mpitrain.optim.fused import NOTHING, FusedUpdate, update_scalars
from mpitrain.optim.gap_aware import GapAware
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd
from mpitrain.optim.weight_prediction import WeightPrediction
from tests.unit.optim.updates import plain_update, run_plainly

PeakBytes = Callable[[Callable[[], object]], int]

OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "adagrad": lambda decay: Adagrad(1e-3, decay),
    "adam": lambda decay: Adam(0.7, 0.95, 1e-3, decay),
    "adamw": lambda decay: AdamW(0.7, 0.95, 1e-3, decay),
    "momentum": lambda decay: Momentum(0.8, decay),
    "nesterov": lambda decay: Nesterov(0.8, decay),
    "rmsprop": lambda decay: RmsProp(0.9, 1e-3, decay),
    "sgd": lambda decay: Sgd(decay),
}
COMPENSATIONS: dict[str, Callable[[float], Compensation]] = {
    "dana_slim": lambda _: DanaSlim(0.8),
    "dc_asgd_a": lambda _: DcAsgdA(),
    "dc_asgd_c": lambda _: DcAsgdC(0.5),
    "gap_aware": lambda decay: GapAware(0.9, decay),
    "none": lambda _: NOTHING,
    "prediction": lambda _: WeightPrediction(),
}
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_compensation = pytest.mark.parametrize("correction", COMPENSATIONS)
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])

STEP, GRADIENT_FACTOR, FACTOR, TAU = 0.03, 1 / 3, 0.7, 3
NUM_STEPS = 3
BLOCKS = 2 * BLOCK_BYTES // 4 + 5  # float32 elements of two blocks and a bit
# number of elements, and how many elements after the start of its memory each vector starts
PLACES = [
    (0, (0,)),
    (1, (0,)),
    (1, (1,)),
    (2, (3,)),
    (3, (2,)),
    *((num, (offset,)) for num in (4, 5, 7, 8, 33) for offset in range(4)),
    (1000, (1, 2, 3)),
    (BLOCKS, (0,)),
    (BLOCKS, (3,)),
    (BLOCKS, (0, 1)),
]


class Vectors:
    """Vectors at stated offsets of larger arrays full of NaN, which must stay NaN."""

    def __init__(self, xp: Any, dtype: str, num: int, offsets: tuple[int, ...]) -> None:
        self._new = lambda: xp.full(num + 8, np.nan, dtype)
        self._num, self._offsets = num, offsets
        self._all: list[tuple[Any, slice]] = []

    def add(self, values: Any = np.nan) -> Any:
        """Return one more vector, filled with ``values``."""
        start = self._offsets[len(self._all) % len(self._offsets)]
        array, part = self._new(), slice(start, start + self._num)
        array[part] = values
        self._all.append((array, part))
        return array[part]

    def check_surroundings(self) -> None:
        """Nothing was written beside any vector."""
        for array, part in self._all:
            assert int(np.isnan(array).sum()) >= len(array) - self._num
            array[part] = 0
            assert int(np.isnan(array).sum()) == len(array) - self._num


def host(array: Any) -> Any:
    """Return a copy on the host."""
    return array.copy() if isinstance(array, np.ndarray) else array.get()


class Subject:
    """An update under test: its vectors where the twin has them, and the same vectors as plain."""

    def __init__(
        self,
        twin: Twin,
        optimizer: Optimizer,
        compensation: Compensation,
        dtype: str,
        place: tuple[int, tuple[int, ...]],
    ) -> None:
        self.optimizer, self.compensation, self.dtype = optimizer, compensation, dtype
        self.xp, self.num = twin.xp, place[0]
        self.state_names = (*optimizer.state_names, *compensation.state_names)
        self.memory = Vectors(self.xp, dtype, *place)
        names = ("gradient", "parameters", "present", "change", *self.state_names)
        self.vectors = {name: self.memory.add(0) for name in names}
        self.plain: dict[str, Any] = {name: np.zeros(self.num, dtype) for name in names}
        self.squared = self.xp.full(1, np.nan)
        self.fused = FusedUpdate(optimizer, compensation, dtype, twin)

    def bind(self, *, is_measured: bool = False, **parts: bool) -> Run:
        """Return what updates the vectors."""
        return self.fused.bind(self.vectors, self.squared if is_measured else None, **parts)

    def set(self, name: str, values: Any) -> None:
        """Give both sides the same values."""
        self.vectors[name][...] = self.xp.asarray(values)
        self.plain[name] = values.copy()

    def refresh(self, random: np.random.Generator, *names: str) -> None:
        """Draw new values of some vectors, and poison the change."""
        for name in names:
            self.set(name, random.standard_normal(self.num).astype(self.dtype))
        self.vectors["change"][...] = np.nan

    def scalars(self, clock: int) -> dict[str, float]:
        """Return the values of all scalars."""
        return {
            **update_scalars(self.optimizer, STEP, clock, GRADIENT_FACTOR),
            **self.compensation.scalars(TAU, clock),
            "factor": FACTOR,
        }

    def run_plainly(self, clock: int) -> None:
        """Take a step on the other side."""
        scalars = self.scalars(clock)
        plain_update(self.optimizer, self.compensation, self.plain, scalars, self.dtype)

    def check(self, *names: str) -> None:
        """The vectors have the same bits on both sides."""
        for name in names:
            np.testing.assert_array_equal(host(self.vectors[name]), self.plain[name], name)


@every_optimizer
@with_and_without_decay
@both_types
@pytest.mark.parametrize("applies", [False, True])
def test_fused_update_equals_the_plain_formula_bit_for_bit_wherever_vectors_start(
    twin: Twin, name: str, weight_decay: float, dtype: str, applies: bool
) -> None:
    """Change, parameters and state are those of the lines run one by one on whole vectors."""
    optimizer, random = OPTIMIZERS[name](weight_decay), np.random.default_rng()
    for place in PLACES:
        subject = Subject(twin, optimizer, NOTHING, dtype, place)
        subject.refresh(random, "parameters")
        run = subject.bind(applies=applies)
        for clock in range(NUM_STEPS):
            subject.refresh(random, "gradient")
            run(subject.scalars(clock))
            subject.run_plainly(clock)
            if applies:
                subject.plain["parameters"] += subject.plain["change"]
            else:
                subject.check("change")
            subject.check("gradient", "parameters", *subject.state_names)
        subject.memory.check_surroundings()


@every_compensation
@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw"])
@with_and_without_decay
@both_types
def test_compensation_in_the_same_pass_equals_the_plain_formula_bit_for_bit(
    twin: Twin, correction: str, name: str, weight_decay: float, dtype: str
) -> None:
    """Also the first step, in which some of them do nothing; what is read is left alone."""
    optimizer, random = OPTIMIZERS[name](weight_decay), np.random.default_rng()
    compensation = COMPENSATIONS[correction](0.0 if name == "adamw" else weight_decay)
    for place in [(1, (1,)), (1000, (1, 2, 3)), (BLOCKS, (3,))]:
        subject = Subject(twin, optimizer, compensation, dtype, place)
        run = subject.bind(is_measured=True)
        for clock in range(NUM_STEPS):
            subject.refresh(random, "gradient", "parameters", "present")
            run(subject.scalars(clock))
            subject.run_plainly(clock)
            subject.check("change", "gradient", "parameters", "present", *subject.state_names)
            expected = sum_of_squares(subject.plain["change"])
            assert float(subject.squared[0]) == pytest.approx(expected, rel=1e-5)
        subject.memory.check_surroundings()


@every_compensation
@pytest.mark.parametrize(("name", "dtype"), [("adam", "float32"), ("adamw", "float64")])
def test_cuda_text_equals_the_plain_formula_bit_for_bit(
    device: Any, correction: str, name: str, dtype: str
) -> None:
    """Its packs, tails and sums, on a GPU or on the CPU that stands for it; subnormal ones too."""
    optimizer, random = OPTIMIZERS[name](0.1), np.random.default_rng()
    compensation = COMPENSATIONS[correction](0.1)
    for place in [(7, (1,)), (1000, (3,)), (1000, (1, 2))]:
        subject = Subject(device_twin(), optimizer, compensation, dtype, place)
        run = subject.bind(is_measured=True)
        for clock in range(NUM_STEPS):
            subject.refresh(random, "gradient", "parameters", "present")
            tiny = subject.plain["gradient"] * np.dtype(dtype).type(np.finfo(dtype).tiny ** 0.5)
            subject.set("gradient", np.where(random.random(place[0]) < 0.5, 1, tiny).astype(dtype))
            run(subject.scalars(clock))
            subject.run_plainly(clock)
            subject.check("change", *subject.state_names)
            expected = sum_of_squares(subject.plain["change"])
            assert float(subject.squared[0]) == pytest.approx(expected, rel=1e-5)
        subject.memory.check_surroundings()


@every_compensation
@both_types
def test_update_in_two_parts_is_the_update_bit_for_bit(
    twin: Twin, correction: str, dtype: str
) -> None:
    """Begun before a shard's write section and finished in it."""
    optimizer, random = OPTIMIZERS["nesterov"](0.1), np.random.default_rng()
    subject = Subject(twin, optimizer, COMPENSATIONS[correction](0.1), dtype, (1003, (1,)))
    begin, finish = subject.bind(finishes=False), subject.bind(begins=False)
    for clock in range(NUM_STEPS):
        subject.refresh(random, "gradient", "parameters", "present")
        begin(subject.scalars(clock))
        finish(subject.scalars(clock))
        subject.run_plainly(clock)
        subject.check("change", *subject.state_names)


@both_types
def test_prediction_moves_what_was_read_and_nothing_else(twin: Twin, dtype: str) -> None:
    """By the vector that it keeps."""
    subject = Subject(twin, Sgd(), WeightPrediction(), dtype, (1003, (2,)))
    subject.refresh(np.random.default_rng(), "parameters", "compensation_ahead")
    subject.fused.bind_prediction(subject.vectors)({})
    run_plainly(subject.compensation.predict, subject.plain)
    subject.check("parameters", "compensation_ahead")
    subject.memory.check_surroundings()


@every_optimizer
@with_and_without_decay
@both_types
def test_fused_update_is_near_the_formula_in_float64(
    twin: Twin, name: str, weight_decay: float, dtype: str
) -> None:
    """A change is near the same in float64: epsilon, 1e-3, magnifies a rounding so many times."""
    optimizer, random = OPTIMIZERS[name](weight_decay), np.random.default_rng()
    subject = Subject(twin, optimizer, NOTHING, dtype, (3001, (0,)))
    wide: dict[str, Any] = {name: np.zeros(3001) for name in optimizer.state_names}
    run = subject.bind()
    for clock in range(NUM_STEPS):
        subject.refresh(random, "gradient", "parameters")
        run(subject.scalars(clock))
        wide |= {name: subject.plain[name].astype(float) for name in ("gradient", "parameters")}
        plain_update(optimizer, NOTHING, wide, subject.scalars(clock), "float64")
        most = 1000 * float(np.finfo(dtype).eps) * float(abs(wide["change"]).max())
        change = host(subject.vectors["change"])
        np.testing.assert_allclose(change, wide["change"], rtol=0, atol=most)


@every_optimizer
@both_types
@pytest.mark.parametrize("applies", [False, True])
def test_fused_update_tells_the_squared_norm_of_the_change(
    twin: Twin, name: str, dtype: str, applies: bool
) -> None:
    """The sum is that of the change written or applied, at any length."""
    for num in (0, 1, 7, 4099, 3 * BLOCKS):
        subject = Subject(twin, OPTIMIZERS[name](0.1), NOTHING, dtype, (num, (0,)))
        subject.refresh(np.random.default_rng(), "gradient", "parameters")
        subject.bind(is_measured=True, applies=applies)(subject.scalars(0))
        subject.run_plainly(0)
        expected = sum_of_squares(subject.plain["change"])
        assert float(subject.squared[0]) == pytest.approx(expected, rel=1e-5)
        if subject.xp is np:
            assert subject.squared[0] == expected
        subject.plain["parameters"] += subject.plain["change"] if applies else 0
        subject.check("parameters", *subject.state_names, *([] if applies else ["change"]))


@both_types
def test_squared_norm_is_that_of_the_elements(twin: Twin, dtype: str) -> None:
    """At any length and start; the same bits when measured again."""
    xp, random = twin.xp, np.random.default_rng()
    for num, offsets in [*PLACES, (1_000_003, (1,))]:
        values = random.standard_normal(num).astype(dtype)
        norm = SquaredNorm(Vectors(xp, dtype, num, offsets).add(xp.asarray(values)), twin)
        norm.measure()
        first = float(norm.out[0])
        norm.measure()
        expected = float(values.astype(float) @ values.astype(float))
        assert first == pytest.approx(expected, rel=1e-5 if dtype == "float32" else 1e-12)
        assert float(norm.out[0]) == first
        if xp is np:
            assert first == sum_of_squares(values)


@every_optimizer
def test_fused_update_is_the_same_bits_when_factors_are_one(twin: Twin, name: str) -> None:
    """The usual factors change nothing, not even where they could round."""
    ones = {"gradient_factor": 1.0, "factor": 1.0}
    subject = Subject(twin, OPTIMIZERS[name](0.1), NOTHING, "float32", (1001, (0,)))
    subject.refresh(np.random.default_rng(), "gradient", "parameters")
    scalars = {**subject.scalars(4), **ones}
    subject.bind()(scalars)
    plain_update(subject.optimizer, NOTHING, subject.plain, scalars, "float32")
    subject.check("change", *subject.state_names)


@every_optimizer
def test_fused_update_allocates_nothing_that_grows_on_the_host(
    on_host: Twin, name: str, peak_bytes: PeakBytes
) -> None:
    """A second update takes a few numbers, whatever the length."""
    compensation = GapAware(weight_decay=0.1)
    place = 300_000, (0,)
    subject = Subject(on_host, OPTIMIZERS[name](0.1), compensation, "float32", place)
    run, scalars = subject.bind(is_measured=True), subject.scalars(1)
    run(scalars)
    assert peak_bytes(lambda: run(scalars)) < 4096


@pytest.mark.gpu
@every_optimizer
def test_fused_update_allocates_nothing_on_a_device(name: str) -> None:
    """No step asks the memory pool for anything."""
    import cupy

    place = 300_000, (0,)
    subject = Subject(device_twin(), OPTIMIZERS[name](0.1), GapAware(), "float32", place)
    run, scalars = subject.bind(is_measured=True), subject.scalars(1)
    run(scalars)
    with cupy.cuda.using_allocator(_refuse):
        run(scalars)


def _refuse(size: int) -> Any:
    msg = f"{size} bytes asked for"
    raise AssertionError(msg)


@pytest.mark.gpu
@pytest.mark.parametrize("measures", [False, True])
def test_fused_update_reaches_all_elements_when_they_are_more_than_threads(
    monkeypatch: pytest.MonkeyPatch, measures: bool
) -> None:
    """A grid of two blocks walks a long vector in strides, with the same bits."""
    for limit in ("MOST_BLOCKS", "MOST_SUMS"):
        monkeypatch.setattr(f"mpitrain.kernels.cuda.{limit}", 2)
    subject = Subject(device_twin(), Adam(), NOTHING, "float32", (50_003, (0,)))
    subject.refresh(np.random.default_rng(), "gradient", "parameters")
    subject.bind(is_measured=measures, applies=True)(subject.scalars(0))
    subject.run_plainly(0)
    subject.plain["parameters"] += subject.plain["change"]
    subject.check("parameters", *subject.state_names)
    if measures:
        expected = sum_of_squares(subject.plain["change"])
        assert float(subject.squared[0]) == pytest.approx(expected, rel=1e-5)


def test_fused_update_names_the_vector_that_does_not_fit(twin: Twin) -> None:
    """Another type, another length and gaps are refused before anything is written."""
    xp, fused = twin.xp, FusedUpdate(Momentum(), NOTHING, "float32", twin)
    good = {name: xp.ones(6, "float32") for name in ("parameters", "change", "velocity")}
    for bad in (xp.ones(6), xp.ones(5, "float32"), xp.ones(12, "float32")[::2]):
        with pytest.raises(ValueError, match="must be a contiguous float32 vector"):
            fused.bind({**good, "gradient": bad})


def test_fused_update_refuses_a_sum_that_is_no_float64(twin: Twin) -> None:
    """A narrower place would be written beyond its end."""
    xp, fused = twin.xp, FusedUpdate(Sgd(), NOTHING, "float32", twin)
    vectors = {name: xp.ones(6, "float32") for name in ("gradient", "change")}
    for bad in (xp.zeros(1, "float32"), xp.zeros(2), xp.zeros(())):
        with pytest.raises(ValueError, match="a sum is written to one float64"):
            fused.bind(vectors, bad)
