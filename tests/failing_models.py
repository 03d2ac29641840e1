"""Models that fail on purpose, for model.kind = "tests.failing_models:NAME"."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mpi4py import MPI

from mpitrain.config import Config
from mpitrain.core.batch import Batch
from mpitrain.core.errors import UserError
from mpitrain.data.source import Source
from mpitrain.models.softmax import Softmax

FAILING_RANK = 1
FAILING_STEP = 20


class FailingModel(Softmax):
    """Softmax regression that does something else at one step of one rank."""

    def __init__(self, source: Source, dtype: str, action: Callable[[], None]) -> None:
        super().__init__(int(np.prod(source.sample_shape)), source.num_classes, dtype)
        self._steps = 0
        self._action = action

    def loss_and_gradient(
        self, parameters: Mapping[str, Any], batch: Batch, out: Mapping[str, Any]
    ) -> float:
        """Act when it is time, else compute."""
        self._steps += 1
        if self._steps == FAILING_STEP and MPI.COMM_WORLD.rank == FAILING_RANK:
            self._action()
        return super().loss_and_gradient(parameters, batch, out)


def raising(config: Config, source: Source) -> FailingModel:
    """Raise in the middle of a step."""

    def action() -> None:
        message = "planted failure"
        raise RuntimeError(message)

    return FailingModel(source, config.model.dtype, action)


def mistaken(config: Config, source: Source) -> FailingModel:
    """Find a mistake of the user's in the middle of a step, as a damaged file would be."""

    def action() -> None:
        message = "data.path: planted damage"
        raise UserError(message)

    return FailingModel(source, config.model.dtype, action)


def wrong_init(config: Config, source: Source) -> FailingModel:
    """Give initial parameters of another type than the layout says."""
    model = raising(config, source)
    model.init = lambda _seed: np.zeros(model.layout.size, np.float16)  # type: ignore[method-assign]
    return model


def half_precision(config: Config, source: Source) -> FailingModel:
    """Have parameters of a type that no window holds."""
    return FailingModel(source, "float16", lambda: None)


def unequal(config: Config, source: Source) -> FailingModel:
    """Start from other parameters on every rank."""
    model = raising(config, source)
    start = np.full(model.layout.size, MPI.COMM_WORLD.rank, model.layout.dtype)
    model.init = lambda _seed: start  # type: ignore[method-assign]
    return model


def broken(config: Config, source: Source) -> FailingModel:
    """Fail in the factory."""
    message = "planted in the factory"
    raise ZeroDivisionError(message)


def hanging(config: Config, source: Source) -> FailingModel:
    """Never come back from a step."""
    return FailingModel(source, config.model.dtype, lambda: time.sleep(3600))


def killed(config: Config, source: Source) -> FailingModel:
    """Kill all ranks of the job, this one first, as a batch system would: no farewell."""

    def action() -> None:
        time.sleep(1.2)  # let rows reach the files
        os.kill(os.getpid(), signal.SIGKILL)

    return FailingModel(source, config.model.dtype, action)


def leaving(config: Config, source: Source) -> FailingModel:
    """Leave the interpreter in the middle of a step."""

    def action() -> None:
        raise SystemExit(0)

    return FailingModel(source, config.model.dtype, action)


def no_source(_config: Config) -> dict[str, int]:
    """Return what is no source of samples."""
    return {"num_samples": 8}
