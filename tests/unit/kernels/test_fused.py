"""What every fused update promises, on NumPy and CuPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.core.measures import sum_of_squares
from mpitrain.kernels.blocks import BLOCK_BYTES
from mpitrain.kernels.fused import FusedUpdate, SquaredNorm
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd

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
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])

STEP, GRADIENT_FACTOR, FACTOR = 0.03, 1 / 3, 0.7
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


class Plain:
    """The optimiser's own passes on NumPy, with the factors before and after."""

    def __init__(self, optimizer: Optimizer, num: int, dtype: str) -> None:
        self._optimizer = optimizer
        self.state = optimizer.init(num, dtype, np)

    def change(self, gradient: Any, parameters: Any, clock: int) -> Any:
        """Return the change."""
        out = np.empty_like(parameters)
        gradient = gradient * GRADIENT_FACTOR
        self._optimizer.update_into(self.state, gradient, parameters, STEP, clock, out)
        return out * FACTOR


def run(fused: FusedUpdate, applies: bool, *arguments: Any, out: Any, squared: Any = None) -> None:
    """Run either form with the factors of this module."""
    factors = {"gradient_factor": GRADIENT_FACTOR, "factor": FACTOR, "squared": squared}
    if applies:
        fused.apply(*arguments, **factors)
    else:
        fused.update_into(*arguments, out, **factors)


@every_optimizer
@with_and_without_decay
@both_types
@pytest.mark.parametrize("applies", [False, True])
def test_fused_update_equals_the_optimizer_bit_for_bit_wherever_vectors_start(
    xp: Any, name: str, weight_decay: float, dtype: str, applies: bool
) -> None:
    """Change, parameters and state are those of the optimiser on NumPy, also on a device."""
    optimizer = OPTIMIZERS[name](weight_decay)
    fused, random = FusedUpdate(optimizer, dtype, xp), np.random.default_rng()
    for num, offsets in PLACES:
        vectors, plain = Vectors(xp, dtype, num, offsets), Plain(optimizer, num, dtype)
        expected = random.standard_normal(num).astype(dtype)
        parameters = vectors.add(xp.asarray(expected))
        gradient = vectors.add()
        state = {key: vectors.add(0) for key in optimizer.state_names}
        out = vectors.add()
        for clock in range(NUM_STEPS):
            fresh = random.standard_normal(num).astype(dtype)
            gradient[...], out[...] = xp.asarray(fresh), np.nan
            run(fused, applies, state, gradient, parameters, STEP, clock, out=out)
            change = plain.change(fresh, expected, clock)
            if applies:
                expected += change
            else:
                np.testing.assert_array_equal(host(out), change)
            np.testing.assert_array_equal(host(parameters), expected)
            np.testing.assert_array_equal(host(gradient), fresh)
            for key, vector in state.items():
                np.testing.assert_array_equal(host(vector), plain.state[key])
        vectors.check_surroundings()


@every_optimizer
@with_and_without_decay
@both_types
def test_fused_update_is_near_the_formula_in_float64(
    xp: Any, name: str, weight_decay: float, dtype: str
) -> None:
    """A change is near the same in float64: epsilon, 1e-3, magnifies a rounding so many times."""
    optimizer = OPTIMIZERS[name](weight_decay)
    fused, random = FusedUpdate(optimizer, dtype, xp), np.random.default_rng()
    num = 3001
    plain = Plain(optimizer, num, "float64")
    state = optimizer.init(num, dtype, xp)
    for clock in range(NUM_STEPS):
        gradient, parameters = (random.standard_normal(num).astype(dtype) for _ in range(2))
        out = xp.full(num, np.nan, dtype)
        arrays = xp.asarray(gradient), xp.asarray(parameters)
        run(fused, False, state, *arrays, STEP, clock, out=out)
        change = plain.change(gradient.astype(float), parameters.astype(float), clock)
        scale = float(abs(change).max())
        np.testing.assert_allclose(
            host(out), change, rtol=0, atol=1000 * np.finfo(dtype).eps * scale
        )


@every_optimizer
@both_types
@pytest.mark.parametrize("applies", [False, True])
def test_fused_update_tells_the_squared_norm_of_the_change(
    xp: Any, name: str, dtype: str, applies: bool
) -> None:
    """The sum is that of the change written or applied, at any length, run after run."""
    optimizer = OPTIMIZERS[name](0.1)
    fused, random = FusedUpdate(optimizer, dtype, xp), np.random.default_rng()
    for num in (0, 1, 7, 4099, 3 * BLOCKS):
        plain = Plain(optimizer, num, dtype)
        state = optimizer.init(num, dtype, xp)
        gradient, parameters = (random.standard_normal(num).astype(dtype) for _ in range(2))
        change = plain.change(gradient, parameters, 0)
        squared, out = xp.full(1, np.nan), xp.full(num, np.nan, dtype)
        arrays = xp.asarray(gradient), xp.asarray(parameters)
        run(fused, applies, state, *arrays, STEP, 0, out=out, squared=squared)
        assert float(squared[0]) == pytest.approx(sum_of_squares(change), rel=1e-5)
        if xp is np:
            assert squared[0] == sum_of_squares(change)


@both_types
def test_squared_norm_is_that_of_the_elements(xp: Any, dtype: str) -> None:
    """At any length and start; the same bits when measured again."""
    norm, random = SquaredNorm(dtype, xp), np.random.default_rng()
    for num, offsets in [*PLACES, (1_000_003, (1,))]:
        values = random.standard_normal(num).astype(dtype)
        vector = Vectors(xp, dtype, num, offsets).add(xp.asarray(values))
        first, again = xp.full(1, np.nan), xp.full(1, np.nan)
        norm.measure_into(vector, first)
        norm.measure_into(vector, again)
        expected = float(values.astype(float) @ values.astype(float))
        assert float(first[0]) == pytest.approx(expected, rel=1e-5 if dtype == "float32" else 1e-12)
        assert float(first[0]) == float(again[0])
        if xp is np:
            assert first[0] == sum_of_squares(values)


@every_optimizer
def test_fused_update_is_the_same_bits_when_factors_are_one(xp: Any, name: str) -> None:
    """The usual factors change nothing, not even where they could round."""
    optimizer, num = OPTIMIZERS[name](0.1), 1001
    gradient, parameters = np.random.default_rng().standard_normal((2, num)).astype("float32")
    out, expected = xp.full(num, np.nan, "float32"), np.empty(num, "float32")
    state = optimizer.init(num, "float32", xp)
    fused = FusedUpdate(optimizer, "float32", xp)
    fused.update_into(state, xp.asarray(gradient), xp.asarray(parameters), STEP, 4, out)
    optimizer.update_into(
        optimizer.init(num, "float32", np), gradient, parameters, STEP, 4, expected
    )
    np.testing.assert_array_equal(host(out), expected)


@every_optimizer
def test_fused_update_allocates_nothing_that_grows_on_the_host(
    name: str, peak_bytes: PeakBytes
) -> None:
    """A second update takes a few views, whatever the length."""
    optimizer, num = OPTIMIZERS[name](0.1), 300_000
    fused = FusedUpdate(optimizer, "float32", np)
    state = optimizer.init(num, "float32", np)
    gradient, parameters = np.ones((2, num), "float32")
    squared = np.empty(1)
    fused.apply(state, gradient, parameters, STEP, 0, squared=squared)
    used = peak_bytes(lambda: fused.apply(state, gradient, parameters, STEP, 1, squared=squared))
    assert used < 8192


@pytest.mark.gpu
@every_optimizer
def test_fused_update_allocates_nothing_on_a_device(name: str) -> None:
    """No step asks the memory pool for anything."""
    import cupy

    optimizer, num = OPTIMIZERS[name](0.1), 300_000
    fused = FusedUpdate(optimizer, "float32", cupy)
    state = optimizer.init(num, "float32", cupy)
    gradient, parameters = cupy.ones((2, num), "float32")
    squared = cupy.empty(1)
    fused.apply(state, gradient, parameters, STEP, 0, squared=squared)
    with cupy.cuda.using_allocator(_refuse):
        fused.apply(state, gradient, parameters, STEP, 1, squared=squared)


def _refuse(size: int) -> Any:
    msg = f"{size} bytes asked for"
    raise AssertionError(msg)


@pytest.mark.gpu
@pytest.mark.parametrize("measures", [False, True])
def test_fused_update_reaches_all_elements_when_they_are_more_than_threads(
    monkeypatch: pytest.MonkeyPatch, measures: bool
) -> None:
    """A grid of two blocks walks a long vector in strides, with the same bits."""
    import cupy

    for limit in ("MOST_BLOCKS", "MOST_SUMS"):
        monkeypatch.setattr(f"mpitrain.kernels.cuda.{limit}", 2)
    optimizer, num, random = Adam(), 50_003, np.random.default_rng()
    fused, plain = FusedUpdate(optimizer, "float32", cupy), Plain(optimizer, num, "float32")
    state = optimizer.init(num, "float32", cupy)
    gradient, parameters = (random.standard_normal(num).astype("float32") for _ in range(2))
    on_device, squared = cupy.asarray(parameters), cupy.full(1, np.nan) if measures else None
    arguments = state, cupy.asarray(gradient), on_device, STEP, 0
    run(fused, True, *arguments, out=None, squared=squared)
    change = plain.change(gradient, parameters, 0)
    np.testing.assert_array_equal(host(on_device), parameters + change)
    if squared is not None:
        assert float(squared[0]) == pytest.approx(sum_of_squares(change), rel=1e-5)


def test_fused_update_names_the_vector_that_does_not_fit(xp: Any) -> None:
    """Another type, another length and gaps are refused before anything is written."""
    fused, good = FusedUpdate(Momentum(), "float32", xp), xp.ones(6, "float32")
    for bad in (xp.ones(6), xp.ones(5, "float32"), xp.ones(12, "float32")[::2]):
        velocity = xp.zeros(6, "float32")
        with pytest.raises(ValueError, match="gradient must be a contiguous float32 vector"):
            fused.apply({"velocity": velocity}, bad, good, STEP, 0)
        assert not velocity.any()


def test_fused_update_refuses_a_sum_that_is_no_float64(xp: Any) -> None:
    """A narrower place would be written beyond its end."""
    fused, vector = FusedUpdate(Sgd(), "float32", xp), xp.ones(6, "float32")
    for bad in (xp.zeros(1, "float32"), xp.zeros(2), xp.zeros(())):
        with pytest.raises(ValueError, match="a sum is written to one float64"):
            fused.apply({}, vector, vector.copy(), STEP, 0, squared=bad)
        with pytest.raises(ValueError, match="a sum is written to one float64"):
            SquaredNorm("float32", xp).measure_into(vector, bad)


def test_fused_update_names_the_optimizers_there_are_when_it_has_no_formula() -> None:
    """An optimiser from elsewhere is a user's matter, told in one line."""

    class Mine(Momentum):
        pass

    with pytest.raises(UserError, match="unknown fused optimizer 'Mine'; choose from: Adagrad, "):
        FusedUpdate(Mine(), "float32", np)
