"""The tables that say how a run is carried out; what it learns is in ``learning``."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mpitrain.config.setting import MOST_S, NONE, Table, setting, shown
from mpitrain.config.staleness import WINDOWED
from mpitrain.core.errors import UserError
from mpitrain.stop import STOP_SIGNALS

DEFAULT_DATA_PASSES = 5.0
DEFAULT_BOUND = 3
DEFAULT_CHECKPOINT_S = 600.0
MOST_DELAY = 1e6
MOST_NAME_BYTES = 200  # a file's name may have 255, and the time is in it too
ON_ERROR = ("continue", "stop")
DELAYS = ("constant", "exponential", "pareto", "periodic")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Table):
    """How long, with which seed, where to write."""

    table: ClassVar[str] = "run"

    name: str = setting("run", "name of the run, part of the default directory")
    directory: str | None = setting(None, "run directory; none makes runs/NAME-TIME")
    seed: int = setting(0, "decides initial parameters, batch order and delays", least=0)
    data_passes: float | None = setting(
        None,
        f"length of the run; {DEFAULT_DATA_PASSES:g} when neither this nor steps is given",
        unit="passes over the training data",
        above=0,
    )
    steps: int | None = setting(
        None, "length of the run, instead of data_passes", unit="steps of all ranks", least=1
    )
    share: str = setting(
        "auto",
        "who takes which batch: each rank an equal part, or whoever is free from one counter; "
        "auto is equal in bsp and shared otherwise",
        choices=("auto", "equal", "shared"),
    )
    evaluate_every: int = setting(
        0,
        "evaluate on the test samples this often; 0 only at the end",
        unit="steps of all ranks",
        least=0,
    )
    coherence_every: int = setting(
        0,
        "measure how well the gradient of a fixed sample agrees with those before; 0 never",
        unit="steps of all ranks",
        least=0,
    )
    coherence_samples: int = setting(
        1000,
        "training samples of that gradient",
        unit="samples",
        least=1,
        used_by=("coherence_every", ()),
    )
    coherence_lags: int = setting(
        4,
        "gradients before that it is compared with",
        least=1,
        most=16,
        used_by=("coherence_every", ()),
    )
    early_stop: int | None = setting(
        None,
        "evaluations in a row without a better test metric (checkpoint.best says which is) after "
        "which the run ends and is done; none never ends it",
        unit="evaluations",
        least=1,
    )
    early_stop_delta: float = setting(
        0.0,
        "a metric must be better by more than this to count",
        least=0,
        used_by=("early_stop", ()),
    )
    progress_every_s: float = setting(
        2.0,
        "time between two lines of progress; a bar on a terminal moves more often",
        unit="seconds",
        above=0,
        most=MOST_S,
    )
    limit_s: float | None = setting(
        None,
        "a life this long stops with a checkpoint, to be resumed",
        unit="seconds",
        above=0,
        most=MOST_S,
    )
    stop_before_limit_s: float | None = setting(
        60.0,
        "stop with a checkpoint this long before Slurm's time limit, or when half of what was left "
        "at the start is gone, if that is later; none waits for a signal",
        unit="seconds",
        least=0,
        most=MOST_S,
    )
    stop_signal: str = setting(
        "USR1", "signal that stops the run with a checkpoint", choices=STOP_SIGNALS
    )
    init_from: str | None = setting(
        None, "start from the parameters of this run directory's or folder's newest checkpoint"
    )

    def __post_init__(self) -> None:
        """Check, and fill in the default length."""
        super().__post_init__()
        if not self.name.strip(" .") or "/" in self.name or not self.name.isprintable():
            msg = f"run.name must be printable and without /, got {shown(self.name)}"
            raise UserError(msg)
        if len(self.name.encode(errors="replace")) > MOST_NAME_BYTES:
            msg = f"run.name must have at most {MOST_NAME_BYTES} bytes, got {shown(self.name)}"
            raise UserError(msg)
        if self.directory is not None and not self.directory.strip():
            msg = "run.directory must name a folder; leave it out for runs/NAME-TIME"
            raise UserError(msg)
        if self.data_passes is not None and self.steps is not None:
            msg = (
                f"run.data_passes is {self.data_passes:g} and run.steps is {self.steps}; "
                "give at most one of them"
            )
            raise UserError(msg)
        if self.early_stop is not None and not self.evaluate_every:
            msg = (
                f"run.early_stop is {self.early_stop} and run.evaluate_every is 0: without "
                "evaluations there is nothing to go by; give run.evaluate_every too, or write "
                f"run.early_stop={NONE}"
            )
            raise UserError(msg)
        if self.data_passes is None and self.steps is None:
            object.__setattr__(self, "data_passes", DEFAULT_DATA_PASSES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode(Table):
    """How consistent the ranks are."""

    table: ClassVar[str] = "mode"

    kind: str = setting(
        "bsp",
        "bsp is synchronous, ssp asynchronous within a bound, asp asynchronous",
        choices=("asp", "bsp", "ssp"),
    )
    bound: int | None = setting(
        None,
        f"largest lead of a rank over the slowest, ssp only; {DEFAULT_BOUND} when not given",
        unit="steps of one rank",
        least=0,
    )
    scale: str = setting(
        "mean",
        "mean divides updates by the number of ranks, sum applies them whole",
        choices=("mean", "sum"),
        used_by=("kind", WINDOWED),
    )
    shards: int | None = setting(
        None, "pieces of the parameter vector; none takes one per rank, at most 64", least=1
    )
    reduction: str = setting(
        "tree",
        "order of the sum of gradients: a stated tree, or whatever MPI does",
        choices=("mpi", "tree"),
        used_by=("kind", ("bsp",)),
    )
    progress: str = setting(
        "auto",
        "how a busy rank serves the others: none, a thread, or what a probe at the start finds",
        choices=("auto", "none", "thread"),
        used_by=("kind", WINDOWED),
    )
    warn_s: float = setting(
        10.0, "a wait this long is reported", unit="seconds", above=0, most=MOST_S
    )
    limit_s: float = setting(
        300.0, "a wait this long ends the run", unit="seconds", above=0, most=MOST_S
    )

    def __post_init__(self) -> None:
        """Check, and fill in the default bound."""
        super().__post_init__()
        if self.kind == "ssp" and self.bound is None:
            object.__setattr__(self, "bound", DEFAULT_BOUND)
        if self.kind != "ssp" and self.bound is not None:
            why = "never lets a rank lead" if self.kind == "bsp" else "lets any rank lead"
            msg = (
                f"mode.bound must be left out unless mode.kind is ssp, got {self.bound}: "
                f"{self.kind} {why}; remove it or write mode.bound={NONE}"
            )
            raise UserError(msg)
        if self.limit_s <= self.warn_s:
            msg = f"mode.limit_s must be > mode.warn_s ({self.warn_s:g}), got {self.limit_s:g}"
            raise UserError(msg)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Straggler(Table):
    """Lateness put in on purpose, for experiments."""

    table: ClassVar[str] = "straggler"

    kind: str = setting(
        "none",
        "how delays are distributed",
        choices=("none", *DELAYS),
    )
    ranks: tuple[int, ...] = setting(
        (), "the ranks that are late; empty means all", least=0, used_by=("kind", DELAYS)
    )
    delay: float | tuple[float, ...] = setting(
        0.0,
        "mean delay of a step; a list gives each rank its own",
        unit="see unit",
        least=0,
        most=MOST_DELAY,
        used_by=("kind", DELAYS),
    )
    unit: str = setting(
        "seconds",
        "of delay: seconds, or the rank's own measured time of a step",
        choices=("seconds", "step"),
        used_by=("kind", DELAYS),
    )
    exponent: float = setting(
        2.5, "of the tail; smaller is heavier", above=1, used_by=("kind", ("pareto",))
    )
    period_steps: int = setting(
        100,
        "a slow phase begins this often",
        unit="steps of one rank",
        least=1,
        used_by=("kind", ("periodic",)),
    )
    slow_steps: int = setting(
        20,
        "length of a slow phase",
        unit="steps of one rank",
        least=0,
        used_by=("kind", ("periodic",)),
    )

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        if self.delay == ():
            msg = "straggler.delay must be a number or a list of at least one, got []"
            raise UserError(msg)
        if self.slow_steps > self.period_steps:
            msg = (
                f"straggler.slow_steps must be <= straggler.period_steps ({self.period_steps}), "
                f"got {self.slow_steps}"
            )
            raise UserError(msg)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint(Table):
    """What a run can be resumed from."""

    table: ClassVar[str] = "checkpoint"

    enabled: bool = setting(
        True, "whether checkpoints are written: at the start, at times, when stopped, at the end"
    )
    every_steps: int | None = setting(
        None,
        "time between two checkpoints, in steps",
        unit="steps of all ranks",
        least=1,
        used_by=("enabled", ()),
    )
    every_s: float | None = setting(
        None,
        f"time between two checkpoints; {DEFAULT_CHECKPOINT_S:g} when neither this nor "
        "every_steps is given",
        unit="seconds",
        above=0,
        most=MOST_S,
        used_by=("enabled", ()),
    )
    keep: int = setting(2, "the newest checkpoints that are kept", least=1, used_by=("enabled", ()))
    keep_best: int = setting(
        0,
        "the best checkpoints that are kept besides; each is evaluated on the test samples",
        least=0,
        used_by=("enabled", ()),
    )
    best: str = setting(
        "largest",
        "which test metric is the best one",
        choices=("largest", "smallest"),
    )
    on_error: str = setting(
        "stop",
        "what a checkpoint that cannot be written does: stop the run, or go on without it",
        choices=ON_ERROR,
        used_by=("enabled", ()),
    )

    def __post_init__(self) -> None:
        """Check, and fill in the default time."""
        super().__post_init__()
        if self.every_steps is not None and self.every_s is not None:
            msg = (
                f"checkpoint.every_steps is {self.every_steps} and checkpoint.every_s is "
                f"{self.every_s:g}; give at most one of them"
            )
            raise UserError(msg)
        if self.every_steps is None and self.every_s is None:
            object.__setattr__(self, "every_s", DEFAULT_CHECKPOINT_S)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log(Table):
    """The staleness log."""

    table: ClassVar[str] = "log"

    enabled: bool = setting(True, "whether every step is logged")
    per_shard: bool = setting(
        True, "whether versions are logged per shard; replay needs them", used_by=("enabled", ())
    )
    flush_every_s: float = setting(
        2.0,
        "time between two writes to disk",
        unit="seconds",
        least=0.5,
        most=MOST_S,
        used_by=("enabled", ()),
    )
    on_error: str = setting(
        "stop",
        "what a log that cannot be written does: stop the run, or go on without it",
        choices=ON_ERROR,
        used_by=("enabled", ()),
    )
    csv: bool = setting(False, "whether evaluations and progress go to metrics.csv too")
    tensorboard: bool = setting(
        False, "whether they go to the folder tensorboard too; needs mpitrain[tensorboard]"
    )
    directory: str | None = setting(
        None, "folder of the logs, for example on node-local storage; none puts them in the run's"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device(Table):
    """Where the model is computed."""

    table: ClassVar[str] = "device"

    kind: str = setting(
        "auto",
        "the CPU, or a GPU for each rank; auto takes GPUs where every rank can have one",
        choices=("auto", "cpu", "cuda"),
    )
    memory_share: float = setting(
        0.9,
        "part of a GPU's memory that the ranks on it take together",
        above=0,
        most=1,
        used_by=("kind", ("auto", "cuda")),
    )
    kernels: str = setting(
        "auto",
        "what runs updates on the CPU, with the same bits; auto is numba where it is installed",
        choices=("auto", "numpy", "numba"),
        used_by=("kind", ("auto", "cpu")),
    )
    exchange: str = setting(
        "auto",
        "how a GPU exchanges with other ranks, with the same bits; auto is in place, in memory "
        "that all share, where they are on one host (in bsp with mode.reduction = tree); staged is "
        "by way of each rank's own",
        choices=("auto", "staged"),
        used_by=("kind", ("auto", "cuda")),
    )
