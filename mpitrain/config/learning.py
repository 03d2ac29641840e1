"""The tables that say what is learned: data, model and optimiser."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mpitrain.config.setting import Table, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Table):
    """Which samples."""

    table: ClassVar[str] = "data"

    source: str = setting(
        "digits",
        "where samples come from",
        choices=("digits", "hdf5", "idx", "synthetic"),
        factory=True,
    )
    path: str | None = setting(
        None, "folder of the IDX files, or the HDF5 file", used_by=("source", ("hdf5", "idx"))
    )
    batch_size: int = setting(32, "mini-batch of one rank", unit="samples", least=1)
    micro_batch_size: int | None = setting(
        None,
        "a mini-batch is computed in pieces of this many samples whose gradients are added, which "
        "takes less memory; none takes it whole",
        unit="samples",
        least=1,
    )
    num_samples: int = setting(
        10_000, "training samples to make", least=1, used_by=("source", ("synthetic",))
    )
    num_test: int = setting(
        2_000, "test samples to make", least=0, used_by=("source", ("synthetic",))
    )
    num_features: int = setting(
        64, "length of a sample", least=1, used_by=("source", ("synthetic",))
    )
    num_classes: int = setting(10, "classes", least=2, used_by=("source", ("synthetic",)))
    noise: float = setting(
        0.3,
        "standard deviation about the class centres, which lie on a sphere of radius 1",
        least=0,
        most=1e30,  # of float32, and not so large that samples are not finite
        used_by=("source", ("synthetic",)),
    )
    train_x: str = setting(
        "train_x", "name of the training features", used_by=("source", ("hdf5",))
    )
    train_y: str = setting("train_y", "name of the training labels", used_by=("source", ("hdf5",)))
    test_x: str = setting("test_x", "name of the test features", used_by=("source", ("hdf5",)))
    test_y: str = setting("test_y", "name of the test labels", used_by=("source", ("hdf5",)))
    divisor: float = setting(
        1.0, "features are divided by this", above=0, used_by=("source", ("hdf5",))
    )
    cache_bytes: int = setting(
        64 << 20,
        "memory for training features read ahead",
        unit="bytes",
        least=1,
        used_by=("source", ("hdf5",)),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Table):
    """What is trained."""

    table: ClassVar[str] = "model"

    kind: str = setting("mlp", "the model", choices=("mlp", "softmax"), factory=True)
    hidden: tuple[int, ...] = setting(
        (64,), "widths of the hidden layers", least=1, used_by=("kind", ("mlp",))
    )
    activation: str = setting(
        "relu", "between the layers", choices=("relu", "tanh"), used_by=("kind", ("mlp",))
    )
    dtype: str = setting(
        "float32", "type of parameters and gradients", choices=("float32", "float64")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Table):
    """How a gradient becomes an update, and how large it is."""

    table: ClassVar[str] = "optimizer"

    kind: str = setting(
        "sgd",
        "the algorithm",
        choices=("adagrad", "adam", "adamw", "momentum", "nesterov", "rmsprop", "sgd"),
    )
    rate: float = setting(0.1, "learning rate after the warm-up", above=0)
    schedule: str = setting(
        "constant",
        "how the learning rate changes",
        choices=("constant", "cosine", "inverse_sqrt", "step"),
    )
    warmup_steps: int = setting(
        0, "the rate rises linearly over these", unit="steps of all ranks", least=0
    )
    every_steps: int = setting(
        1000,
        "the rate is multiplied by decay this often",
        unit="steps of all ranks",
        least=1,
        used_by=("schedule", ("step",)),
    )
    decay: float = setting(0.1, "factor of the rate", above=0, used_by=("schedule", ("step",)))
    final: float = setting(0.0, "rate at the end", least=0, used_by=("schedule", ("cosine",)))
    weight_decay: float = setting(
        0.0, "this times the parameters is added to the gradient (adamw: decoupled)", least=0
    )
    clip: float | None = setting(None, "largest norm of a gradient; none does not clip", above=0)
    momentum: float = setting(
        0.9,
        "share of the velocity kept per step",
        least=0,
        below=1,
        used_by=("kind", ("momentum", "nesterov")),
    )
    beta1: float = setting(
        0.9,
        "decay of the mean gradient",
        least=0,
        below=1,
        used_by=("kind", ("adam", "adamw")),
    )
    beta2: float = setting(
        0.999,
        "decay of the mean squared gradient",
        least=0,
        below=1,
        used_by=("kind", ("adam", "adamw", "rmsprop")),
    )
    epsilon: float = setting(
        1e-8,
        "added to the denominator",
        above=0,
        used_by=("kind", ("adagrad", "adam", "adamw", "rmsprop")),
    )
