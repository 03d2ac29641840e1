"""The one place where names in a configuration become objects: models, data, algorithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mpitrain.config import Config, Staleness
from mpitrain.core.errors import UserError
from mpitrain.data.digits import DigitsSource
from mpitrain.data.hdf5 import Hdf5Source
from mpitrain.data.idx import IdxSource
from mpitrain.data.source import Source
from mpitrain.data.synthetic import SyntheticSource
from mpitrain.factories import checked_model, checked_source, made
from mpitrain.models.mlp import Mlp
from mpitrain.models.model import Model
from mpitrain.models.softmax import Softmax
from mpitrain.optim import factors
from mpitrain.optim.adagrad import Adagrad
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.base import Optimizer
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.dana_slim import DanaSlim
from mpitrain.optim.dc_asgd import DcAsgdA, DcAsgdC
from mpitrain.optim.factors import Factor
from mpitrain.optim.gap_aware import GapAware
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.nesterov import Nesterov
from mpitrain.optim.rmsprop import RmsProp
from mpitrain.optim.sgd import Sgd
from mpitrain.optim.weight_prediction import WeightPrediction


def _softmax(config: Config, source: Source, dtype: str) -> Model:
    return Softmax(_num_features(source), source.num_classes, dtype)


def _mlp(config: Config, source: Source, dtype: str) -> Model:
    hidden, activation = config.model.hidden, config.model.activation
    return Mlp(_num_features(source), hidden, source.num_classes, activation, dtype)


MODELS: dict[str, Callable[[Config, Source, str], Model]] = {"mlp": _mlp, "softmax": _softmax}

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adagrad": lambda o: Adagrad(epsilon=o.epsilon, weight_decay=o.weight_decay),
    "adam": lambda o: Adam(o.beta1, o.beta2, o.epsilon, o.weight_decay),
    "adamw": lambda o: AdamW(o.beta1, o.beta2, o.epsilon, o.weight_decay),
    "momentum": lambda o: Momentum(o.momentum, o.weight_decay),
    "nesterov": lambda o: Nesterov(o.momentum, o.weight_decay),
    "rmsprop": lambda o: RmsProp(o.beta2, o.epsilon, o.weight_decay),
    "sgd": lambda o: Sgd(o.weight_decay),
}


@contextmanager
def allocating() -> Iterator[None]:
    """Raise a MemoryError where NumPy says ValueError of a size beyond every machine."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise MemoryError(str(error)) from error


def _synthetic(config: Config) -> Source:
    data = config.data
    with allocating():
        return SyntheticSource(
            seed=config.run.seed,
            num_samples=data.num_samples,
            num_test=data.num_test,
            num_features=data.num_features,
            num_classes=data.num_classes,
            noise=data.noise,
        )


FACTORS: dict[str, Callable[[Staleness], Factor]] = {
    "hinge": lambda s: factors.hinge(s.hinge_slope, s.hinge_start),
    "inverse": lambda _: factors.inverse,
    "inverse_sqrt": lambda _: factors.inverse_sqrt,
    "none": lambda _: factors.none,
    "polynomial": lambda s: factors.polynomial(s.power),
}

COMPENSATIONS: dict[str, Callable[[Config], Compensation]] = {
    "dana_slim": lambda c: DanaSlim(c.staleness.momentum),
    "dc_asgd_a": lambda c: DcAsgdA(c.staleness.adaptive_control, c.staleness.adaptive_decay),
    "dc_asgd_c": lambda c: DcAsgdC(c.staleness.constant_control),
    "gap_aware": lambda c: GapAware(
        c.staleness.gap_decay,
        # decoupled weight decay is no part of the gradient
        0.0 if c.optimizer.kind == "adamw" else c.optimizer.weight_decay,
    ),
    "none": lambda _: Compensation(),
    "prediction": lambda _: WeightPrediction(),
}

SOURCES: dict[str, Callable[[Config], Source]] = {
    "digits": lambda _: DigitsSource(),
    "hdf5": lambda c: Hdf5Source(
        str(c.data.path),
        train_x=c.data.train_x,
        train_y=c.data.train_y,
        test_x=c.data.test_x,
        test_y=c.data.test_y,
        divisor=c.data.divisor,
        cache_bytes=c.data.cache_bytes,
    ),
    "idx": lambda c: IdxSource(str(c.data.path)),
    "synthetic": _synthetic,
}


def make_source(config: Config) -> Source:
    """Return the data source that ``data.source`` names."""
    name = config.data.source
    if ":" in name:
        return checked_source(made("data.source", name, config), f"data.source = {name!r}")
    return SOURCES[name](config)


def make_model(config: Config, source: Source) -> Model:
    """Return the model that ``model.kind`` names, for the shapes of ``source``."""
    name = config.model.kind
    if ":" in name:
        return checked_model(made("model.kind", name, config, source), f"model.kind = {name!r}")
    return MODELS[name](config, source, config.model.dtype)


def make_optimizer(config: Config) -> Optimizer:
    """Return the optimiser that ``optimizer.kind`` names."""
    return OPTIMIZERS[config.optimizer.kind](config.optimizer)


def make_compensation(config: Config) -> Compensation:
    """Return the compensation that ``staleness.compensation`` names; nothing is stale in bsp."""
    is_windowed = config.mode.kind != "bsp"
    return COMPENSATIONS[config.staleness.compensation if is_windowed else "none"](config)


def state_names(config: Config) -> tuple[str, ...]:
    """Return the names of the vectors that a rank's optimiser and compensation keep."""
    return (*make_optimizer(config).state_names, *make_compensation(config).state_names)


def make_factor(settings: Staleness, size: int) -> Factor:
    """Return the staleness factor of a run on ``size`` ranks.

    Raises:
        UserError: it cannot be normalised.
    """
    factor = FACTORS[settings.factor](settings)
    if not settings.normalize:
        return factor
    return factors.normalized(factor, size - 1 if settings.mean is None else settings.mean)


def _num_features(source: Source) -> int:
    return math.prod(source.sample_shape)
