"""What every model promises, checked on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.core.batch import Batch
from mpitrain.models.mlp import Mlp
from mpitrain.models.model import Model
from mpitrain.models.softmax import Softmax

PeakBytes = Callable[[Callable[[], object]], int]
Make = Callable[..., Model]

NUMPY_BUFFER_BYTES = 70_000  # NumPy takes a fixed 64 KiB when it broadcasts, and some objects

NUM_FEATURES = 6
NUM_CLASSES = 4

MODELS: dict[str, Make] = {
    "softmax": lambda dtype="float64": Softmax(NUM_FEATURES, NUM_CLASSES, dtype),
    "mlp": lambda dtype="float64": Mlp(NUM_FEATURES, (), NUM_CLASSES, "relu", dtype),
    "mlp-5-relu": lambda dtype="float64": Mlp(NUM_FEATURES, (5,), NUM_CLASSES, "relu", dtype),
    "mlp-5-tanh": lambda dtype="float64": Mlp(NUM_FEATURES, (5,), NUM_CLASSES, "tanh", dtype),
    "mlp-7-5-3-relu": lambda dtype="float64": Mlp(
        NUM_FEATURES, (7, 5, 3), NUM_CLASSES, "relu", dtype
    ),
    "mlp-7-5-3-tanh": lambda dtype="float64": Mlp(
        NUM_FEATURES, (7, 5, 3), NUM_CLASSES, "tanh", dtype
    ),
    "mlp-1-1-relu": lambda dtype="float64": Mlp(NUM_FEATURES, (1, 1), NUM_CLASSES, "relu", dtype),
}

every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def random_batch(xp: Any, num_rows: int, seed: int, dtype: str = "float64") -> Batch:
    """Return samples of shape (2, 3) with random labels."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((num_rows, 2, 3)).astype(dtype)
    y = random.integers(0, NUM_CLASSES, num_rows)
    return Batch(xp.asarray(x), xp.asarray(y))


def random_parameters(xp: Any, model: Model, seed: int) -> Any:
    """Return parameters that are nowhere zero."""
    flat = np.random.default_rng(seed).standard_normal(model.layout.size)
    return xp.asarray(flat.astype(model.layout.dtype))


def gradient_of(xp: Any, model: Model, parameters: Any, batch: Batch) -> tuple[float, Any]:
    """Return the loss and the flat gradient, written into a vector of NaN."""
    gradient = xp.full_like(parameters, np.nan)
    layout = model.layout
    loss = model.loss_and_gradient(layout.views(parameters), batch, layout.views(gradient))
    return loss, gradient


def central_differences(xp: Any, model: Model, parameters: Any, batch: Batch) -> Any:
    """Return the gradient of the evaluated loss, one parameter after the other."""
    step = 1e-5
    gradient = xp.empty_like(parameters)
    views = model.layout.views(parameters)
    for i in range(parameters.size):
        middle = float(parameters[i])
        parameters[i] = middle + step
        above = model.evaluate(views, batch)["loss"]
        parameters[i] = middle - step
        below = model.evaluate(views, batch)["loss"]
        parameters[i] = middle
        gradient[i] = (above - below) / (2 * step)
    return gradient


def naive_logits(model: Model, activation: str, flat: npt.NDArray[Any], batch: Batch) -> Any:
    """Return class scores of a perceptron, sample by sample and number by number."""
    views = model.layout.views(flat)
    names = list(views)
    layers = [(views[w], views[b]) for w, b in zip(names[::2], names[1::2], strict=True)]
    bend = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh}[activation]
    rows = []
    for sample in batch.x:
        values = sample.ravel().tolist()
        for number, (w, b) in enumerate(layers, start=1):
            values = [
                b[j] + sum(values[i] * w[i, j] for i in range(len(values))) for j in range(len(b))
            ]
            if number < len(layers):
                values = [bend(z) for z in values]
        rows.append(values)
    return np.array(rows)


@every_model
@pytest.mark.parametrize("seed", range(3))
def test_gradient_equals_central_differences(xp: Any, make: Make, seed: int) -> None:
    """Every element is the derivative of the summed loss, for a full batch and a short one."""
    model = make()
    for num_rows in (11, 4, 1):  # the short ones reuse the work arrays of the full one
        parameters = random_parameters(xp, model, 100 * seed + num_rows)
        batch = random_batch(xp, num_rows, 200 + 100 * seed + num_rows)
        _, gradient = gradient_of(xp, model, parameters, batch)
        expected = central_differences(xp, model, parameters, batch)
        xp.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@every_model
@pytest.mark.parametrize("num_rows", [1, 6])
def test_loss_and_accuracy_equal_the_naive_ones(make: Make, num_rows: int, make_id: str) -> None:
    """Loss and correct samples are those of a perceptron written with plain loops."""
    model = make()
    activation = "tanh" if "tanh" in make_id else "relu"
    flat = random_parameters(np, model, 31)
    batch = random_batch(np, num_rows, 32)
    logits = naive_logits(model, activation, flat, batch)
    rows = range(num_rows)
    expected = sum(np.log(np.exp(logits[i]).sum()) - logits[i, batch.y[i]] for i in rows)
    correct = sum(int(logits[i].argmax() == batch.y[i]) for i in rows)
    sums = model.evaluate(model.layout.views(flat), batch)
    assert sums == {"loss": pytest.approx(expected, rel=1e-12), "accuracy": correct}
    loss, _ = gradient_of(np, model, flat, batch)
    assert loss == sums["loss"]


@pytest.fixture
def make_id(request: pytest.FixtureRequest) -> str:
    """Return the name of the model under test."""
    return str(request.node.callspec.id)


@every_model
def test_gradient_of_a_batch_is_the_sum_of_its_parts(xp: Any, make: Make) -> None:
    """Loss and gradient are sums over samples, not means: parts of a batch add up."""
    model = make()
    parameters = random_parameters(xp, model, 41)
    batch = random_batch(xp, 9, 42)
    loss, gradient = gradient_of(xp, model, parameters, batch)
    parts = [Batch(batch.x[a:b], batch.y[a:b]) for a, b in ((0, 2), (2, 3), (3, 9))]
    results = [gradient_of(xp, model, parameters, part) for part in parts]
    assert loss == pytest.approx(sum(part for part, _ in results), rel=1e-12)
    xp.testing.assert_allclose(gradient, sum(part for _, part in results), rtol=1e-9, atol=1e-12)


@every_model
def test_model_leaves_its_inputs_unchanged(xp: Any, make: Make) -> None:
    """Neither parameters nor samples are written to."""
    model = make()
    parameters, batch = random_parameters(xp, model, 51), random_batch(xp, 5, 52)
    before = parameters.copy(), batch.x.copy(), batch.y.copy()
    gradient_of(xp, model, parameters, batch)
    model.evaluate(model.layout.views(parameters), batch)
    for now, then in zip((parameters, *batch), before, strict=True):
        xp.testing.assert_array_equal(now, then)


@every_model
def test_model_repeats_its_bits_whatever_it_computed_between(make: Make) -> None:
    """A gradient does not depend on earlier batches or evaluations of other sizes."""
    used, fresh = make("float32"), make("float32")
    parameters = random_parameters(np, used, 61)
    batch = random_batch(np, 8, 62, "float32")
    gradient_of(np, used, parameters, random_batch(np, 3, 63, "float32"))
    used.evaluate(used.layout.views(parameters), random_batch(np, 100, 64, "float32"))
    loss, gradient = gradient_of(np, used, parameters, batch)
    fresh_loss, fresh_gradient = gradient_of(np, fresh, parameters, batch)
    assert loss == fresh_loss
    np.testing.assert_array_equal(gradient, fresh_gradient)


@every_model
def test_model_computes_in_float32(xp: Any, make: Make) -> None:
    """Single precision agrees with double to its digits."""
    model, double = make("float32"), make("float64")
    parameters, batch = random_parameters(xp, model, 71), random_batch(xp, 12, 72, "float32")
    loss, gradient = gradient_of(xp, model, parameters, batch)
    wide = Batch(batch.x.astype("float64"), batch.y)
    expected = gradient_of(xp, double, parameters.astype("float64"), wide)
    assert gradient.dtype == np.float32
    assert loss == pytest.approx(expected[0], rel=1e-5)
    xp.testing.assert_allclose(gradient, expected[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["softmax", "relu", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_model_allocates_nothing_after_the_first_step(
    kind: str, dtype: str, peak_bytes: PeakBytes
) -> None:
    """Later steps, full or short, take no memory that grows with batch or parameters."""
    num_rows = 40_000  # one float32 per row is more than the limit
    model: Model = Softmax(64, 10, dtype)
    if kind != "softmax":
        model = Mlp(64, (48, 32), 10, kind, dtype)
    random = np.random.default_rng(0)
    batch = Batch(random.random((num_rows, 8, 8)).astype(dtype), random.integers(0, 10, num_rows))
    parameters = model.layout.views(model.init(1))
    out = model.layout.views(np.empty(model.layout.size, dtype))
    model.loss_and_gradient(parameters, batch, out)
    assert peak_bytes(lambda: model.loss_and_gradient(parameters, batch, out)) < NUMPY_BUFFER_BYTES
    short = Batch(batch.x[:30_000], batch.y[:30_000])
    assert peak_bytes(lambda: model.loss_and_gradient(parameters, short, out)) < NUMPY_BUFFER_BYTES
