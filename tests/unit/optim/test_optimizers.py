"""What every optimiser promises, checked on all of them against plainly written references."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mpitrain.core.shards import Shards
from mpitrain.kernels.twins import Twin, host_twin
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd
from tests.unit.optim.updates import Stepper, zeros

Change = Iterator[float]

STEP = 0.03

# One parameter's changes, from its (gradient, parameter) pairs: the published formulas, in Python
# numbers, each keeping its own memory.


def sgd(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of gradient descent."""
    for g, x in pairs:
        yield -STEP * (g + weight_decay * x)


def momentum(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of the heavy ball, written as a sum over all past gradients."""
    past: list[float] = []
    for g, x in pairs:
        past.append(g + weight_decay * x)
        yield -STEP * sum(0.8**age * old for age, old in enumerate(reversed(past)))


def nesterov(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of Nesterov's method: one heavy-ball step ahead of the gradients."""
    past: list[float] = []
    for g, x in pairs:
        past.append(g + weight_decay * x)
        velocity = sum(0.8**age * old for age, old in enumerate(reversed(past)))
        yield -STEP * (past[-1] + 0.8 * velocity)


def adam(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of Adam, algorithm 1 line by line."""
    m = v = 0.0
    for t, (gradient, x) in enumerate(pairs, start=1):
        g = gradient + weight_decay * x
        m = 0.7 * m + (1 - 0.7) * g
        v = 0.95 * v + (1 - 0.95) * g**2
        m_hat = m / (1 - 0.7**t)
        v_hat = v / (1 - 0.95**t)
        yield -STEP * m_hat / (math.sqrt(v_hat) + 1e-3)


def adamw(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of Adam on the plain gradient, less a share of the parameter."""
    kept = list(pairs)
    for change, (_, x) in zip(adam(iter(kept), 0.0), kept, strict=True):
        yield change - STEP * weight_decay * x


def adagrad(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of Adagrad."""
    past: list[float] = []
    for gradient, x in pairs:
        past.append(gradient + weight_decay * x)
        yield -STEP * past[-1] / (math.sqrt(sum(g**2 for g in past)) + 1e-3)


def rmsprop(pairs: Iterator[tuple[float, float]], weight_decay: float) -> Change:
    """Yield changes of RMSProp."""
    past: list[float] = []
    for gradient, x in pairs:
        past.append(gradient + weight_decay * x)
        mean = sum(0.1 * 0.9**age * g**2 for age, g in enumerate(reversed(past)))
        yield -STEP * past[-1] / (math.sqrt(mean) + 1e-3)


SUBJECTS: dict[str, tuple[Callable[[float], Optimizer], Callable[..., Change]]] = {
    "adagrad": (lambda decay: Adagrad(1e-3, decay), adagrad),
    "adam": (lambda decay: Adam(0.7, 0.95, 1e-3, decay), adam),
    "adamw": (lambda decay: AdamW(0.7, 0.95, 1e-3, decay), adamw),
    "momentum": (lambda decay: Momentum(0.8, decay), momentum),
    "nesterov": (lambda decay: Nesterov(0.8, decay), nesterov),
    "rmsprop": (lambda decay: RmsProp(0.9, 1e-3, decay), rmsprop),
    "sgd": (lambda decay: Sgd(decay), sgd),
}

every_optimizer = pytest.mark.parametrize("name", SUBJECTS)
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])


@every_optimizer
@with_and_without_decay
def test_optimizer_equals_its_published_formula(twin: Twin, name: str, weight_decay: float) -> None:
    """Over 20 steps with fresh gradients every change is that of the reference."""
    make, reference = SUBJECTS[name]
    xp, optimizer = twin.xp, make(weight_decay)
    stepper, random = Stepper(optimizer, "float64", twin), np.random.default_rng(len(name))
    num, num_steps = 13, 20
    gradients = random.standard_normal((num_steps, num))
    visited = random.standard_normal((num_steps, num))
    state = zeros(optimizer, num, "float64", xp)
    out = xp.full(num, np.nan)
    changes = []
    for clock in range(num_steps):
        gradient, parameters = xp.asarray(gradients[clock].copy()), xp.asarray(visited[clock])
        stepper.change(state, gradient, parameters, STEP, clock, out)
        changes.append(out.tolist())
    for element in range(num):
        pairs = zip(gradients[:, element].tolist(), visited[:, element].tolist(), strict=True)
        expected = list(reference(pairs, weight_decay))
        actual = [change[element] for change in changes]
        np.testing.assert_allclose(actual, expected, rtol=1e-11)


@every_optimizer
@with_and_without_decay
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [2, 7, 64])
def test_optimizer_shard_by_shard_equals_whole_bit_for_bit(
    twin: Twin, name: str, weight_decay: float, dtype: str, count: int
) -> None:
    """Cutting the vector changes no bit of any change or state, over several steps."""
    xp, optimizer = twin.xp, SUBJECTS[name][0](weight_decay)
    stepper, num = Stepper(optimizer, dtype, twin), 1037
    shards = Shards(num, count, 3)
    random = np.random.default_rng(count)
    whole, pieces = (zeros(optimizer, num, dtype, xp) for _ in range(2))
    parameters = xp.asarray(random.standard_normal(num).astype(dtype))
    out, out_pieces = xp.empty(num, dtype), xp.empty(num, dtype)
    for clock in range(5):
        values = random.standard_normal(num).astype(dtype)
        gradient, same = xp.asarray(values), xp.asarray(values.copy())
        stepper.change(whole, gradient, parameters, 0.1, clock, out)
        for shard in reversed(range(count)):
            part = shards.slice(shard)
            state = {key: vector[part] for key, vector in pieces.items()}
            stepper.change(state, same[part], parameters[part], 0.1, clock, out_pieces[part])
        xp.testing.assert_array_equal(out_pieces, out)
        for key in optimizer.state_names:
            xp.testing.assert_array_equal(pieces[key], whole[key])


@every_optimizer
def test_optimizer_leaves_the_parameters_alone(twin: Twin, name: str) -> None:
    """Only gradient, state and out are written to."""
    xp, optimizer = twin.xp, SUBJECTS[name][0](0.1)
    stepper, state = Stepper(optimizer, "float64", twin), zeros(optimizer, 5, "float64", xp)
    parameters = xp.arange(5.0)
    stepper.change(state, xp.ones(5), parameters, 0.1, 0, xp.empty(5))
    xp.testing.assert_array_equal(parameters, xp.arange(5.0))


@every_optimizer
def test_optimizer_moves_nothing_when_step_size_is_zero(twin: Twin, name: str) -> None:
    """A rate of zero is a change of zero."""
    xp, optimizer = twin.xp, SUBJECTS[name][0](0.1)
    stepper, state = Stepper(optimizer, "float64", twin), zeros(optimizer, 5, "float64", xp)
    out = xp.full(5, np.nan)
    stepper.change(state, xp.ones(5), xp.arange(5.0), 0.0, 0, out)
    assert not out.any()


@every_optimizer
def test_optimizer_stays_finite_when_a_gradient_is_zero(twin: Twin, name: str) -> None:
    """A parameter without gradient, such as a dead unit's, does not move."""
    xp, optimizer = twin.xp, SUBJECTS[name][0](0.0)
    stepper, state = Stepper(optimizer, "float32", twin), zeros(optimizer, 3, "float32", xp)
    out = xp.full(3, np.nan, "float32")
    for clock in range(3):
        zero = xp.zeros(3, "float32")
        stepper.change(state, zero, xp.ones(3, "float32"), 0.1, clock, out)
        assert not out.any()


def test_adam_first_step_has_the_length_of_the_rate() -> None:
    """With the bias correction the first change is the rate, whatever the gradient's size."""
    optimizer = Adam(epsilon=1e-30)
    stepper = Stepper(optimizer, "float64", host_twin("numpy"))
    gradient = np.array([1e-6, -1.0, 1e6])
    out = np.empty(3)
    stepper.change(zeros(optimizer, 3, "float64", np), gradient, np.zeros(3), 0.1, 0, out)
    np.testing.assert_allclose(out, [-0.1, 0.1, -0.1], rtol=1e-12)
