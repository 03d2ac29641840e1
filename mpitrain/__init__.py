"""mpitrain: data-parallel training over MPI with the consistency you choose.

Importing this package starts nothing: no MPI, no HDF5, no GPU. The public names below are loaded
when they are first used.

    mpitrain.train(model, data, ...)   train on all ranks of the communicator
    mpitrain.resume(directory, ...)    go on with a run from a checkpoint
    mpitrain.replay(directory, ...)    take every step of a recorded run again, in one process
    mpitrain.simulate(model, data, ...) train on simulated ranks, in one process
    mpitrain.load_checkpoint(place)    read a checkpoint: parameters by name, steps, metric
    mpitrain.open_log(directory)       read the staleness log of a run
    mpitrain.load(path, overrides)     read a configuration, a mpitrain.Config
    mpitrain.ArraySource, .Layout      what your own data and your own model are made of
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpitrain.config import Config, load
    from mpitrain.core.errors import CheckpointError, MpitrainError, StoppedError, UserError
    from mpitrain.core.layout import Layout
    from mpitrain.data.source import ArraySource
    from mpitrain.entry import replay, resume, simulate, train
    from mpitrain.result import Result
    from mpitrain.running.loaded_checkpoint import LoadedCheckpoint, load_checkpoint
    from mpitrain.storage.reading import open_log

__version__ = "0.1.0"

__all__ = [
    "ArraySource",
    "CheckpointError",
    "Config",
    "Layout",
    "LoadedCheckpoint",
    "MpitrainError",
    "Result",
    "StoppedError",
    "UserError",
    "__version__",
    "load",
    "load_checkpoint",
    "open_log",
    "replay",
    "resume",
    "simulate",
    "train",
]

_HOMES = {
    "ArraySource": "mpitrain.data.source",
    "CheckpointError": "mpitrain.core.errors",
    "Config": "mpitrain.config",
    "Layout": "mpitrain.core.layout",
    "LoadedCheckpoint": "mpitrain.running.loaded_checkpoint",
    "MpitrainError": "mpitrain.core.errors",
    "Result": "mpitrain.result",
    "StoppedError": "mpitrain.core.errors",
    "UserError": "mpitrain.core.errors",
    "load": "mpitrain.config",
    "load_checkpoint": "mpitrain.running.loaded_checkpoint",
    "open_log": "mpitrain.storage.reading",
    "replay": "mpitrain.entry",
    "resume": "mpitrain.entry",
    "simulate": "mpitrain.entry",
    "train": "mpitrain.entry",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _HOMES:
        msg = f"module 'mpitrain' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
