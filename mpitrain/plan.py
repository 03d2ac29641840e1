"""What is to be trained: everything that needs no other rank, checked before anything is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpitrain.config import Config
from mpitrain.config.setting import MOST_INTEGER
from mpitrain.consistency.work import EqualShare, SharedWork, Work
from mpitrain.core.arrays import Array
from mpitrain.core.batches import BatchOrder, num_tickets
from mpitrain.core.console import counted
from mpitrain.core.errors import UserError
from mpitrain.core.position import Position, Start
from mpitrain.core.shards import Shards
from mpitrain.data.source import Source
from mpitrain.devices.device import CPU, Device
from mpitrain.factories import Data, checked_model, checked_source
from mpitrain.kernels.twins import Twin, device_twin, host_twin
from mpitrain.models.model import Model
from mpitrain.modes.update import Update
from mpitrain.names import (
    allocating,
    make_compensation,
    make_factor,
    make_model,
    make_optimizer,
    make_source,
)
from mpitrain.optim import factors
from mpitrain.optim.schedules import Schedule

MOST_SHARDS = 64  # of the default number of shards, min(P, 64)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be trained, checked on every rank before anything is opened.

    Attributes:
        config: the resolved configuration.
        model: the model.
        source: the data.
        shards: cut of the flat parameter vector.
        order: samples of each ticket.
        initial: (n,), host, the parameters that training starts from.
        start: where this life starts.
        work: how tickets are dealt out.
        device: where the rank computes.
        twin: what runs updates there.
        own: the tables of the configuration that a script's own model and data stand for.
    """

    config: Config
    model: Model
    source: Source
    shards: Shards
    order: BatchOrder
    initial: npt.NDArray[Any]
    start: Start
    work: Work
    twin: Twin
    device: Device = CPU
    own: tuple[str, ...] = ()

    @property
    def device_kind(self) -> str:
        """Where to compute, as the run file says; a model of the user's may know NumPy alone."""
        has_own_model = "model" in self.own or ":" in self.config.model.kind
        kind = self.config.device.kind
        return "cpu" if kind == "auto" and has_own_model else kind

    def on(self, device: Device) -> Self:
        """Return the plan of a rank that computes there, by the twin that the run file wants.

        Raises:
            UserError: there is no such twin here.
        """
        is_host = device.kind == "cpu"
        twin = host_twin(self.config.device.kernels) if is_host else device_twin()
        return replace(self, device=device, twin=twin)

    @property
    def has_own_code(self) -> bool:
        """Whether the model or the data may be code of the user's."""
        names = self.config.model.kind, self.config.data.source
        return bool(self.own) or any(":" in name for name in names)


def make_plan(
    config: Config,
    size: int,
    *,
    model: Model | None = None,
    source: Data | None = None,
    start: Start | None = None,
) -> Plan:
    """Build everything that needs no other rank.

    Args:
        config: the resolved configuration.
        size: number of ranks.
        model: used instead of the configuration's.
        source: used instead of the configuration's.
        start: where this life starts; where that is a checkpoint, ``initial`` is zeros, to be read.

    Raises:
        UserError: something in the configuration cannot be had.
    """
    try:
        return _planned(config, size, model, source, start)
    except (MemoryError, OverflowError) as error:
        why = str(error).rstrip(".") or "not enough memory"
        message = f"the model or the data cannot be made: {why}; take smaller ones"
        raise UserError(message) from error


def _planned(
    config: Config,
    size: int,
    model: Model | None,
    source: Data | None,
    start: Start | None,
) -> Plan:
    own = tuple(n for n, given in (("model", model), ("data", source)) if given is not None)
    source = make_source(config) if source is None else checked_source(source, "data")
    model = make_model(config, source) if model is None else checked_model(model, "model")
    _check_samples(config, source, size)
    _check_straggler(config, size)
    _check_early_stop(config, source)
    if config.mode.kind != "bsp":
        make_factor(config.staleness, size)
    num = model.layout.size
    count = config.mode.shards or min(size, MOST_SHARDS, max(num, 1))
    batch_size = min(config.data.batch_size, source.num_samples)
    is_new = start is None or start.checkpoint == "none"
    start = start or Start(life=0, position=Position.first(config.mode.kind, config.share, size))
    return Plan(
        config=config,
        model=model,
        source=source,
        shards=Shards(num, count, size),
        order=BatchOrder(config.run.seed, batch_size, source.num_samples, source.block),
        initial=_initial_parameters(model, config.run.seed, is_new=is_new),
        start=start,
        work=make_work(config, source.num_samples, start.position),
        twin=host_twin("numpy"),
        own=own,
    )


def make_work(config: Config, num_samples: int, start: Position) -> Work:
    """Return how the tickets of a run over so many training samples are dealt out."""
    tickets_per_pass = num_tickets(num_samples, min(config.data.batch_size, num_samples))
    steps = config.run.steps or _num_steps(config.run.data_passes or 0.0, tickets_per_pass)
    if config.share == "equal":
        return EqualShare(steps, start.size, start.era_steps, start.deal)
    return SharedWork(steps, start.era_steps, start.deal)


def _num_steps(data_passes: float, tickets_per_pass: int) -> int:
    """Return the steps of so many passes, of which the last may be a part; at least one."""
    steps = round(data_passes * tickets_per_pass, 6)
    if steps > MOST_INTEGER:
        message = (
            f"run.data_passes = {data_passes:g} makes more than {MOST_INTEGER} steps, "
            "more than a log can count; give fewer"
        )
        raise UserError(message)
    if not steps:
        message = (
            f"run.data_passes = {data_passes:g} makes no step: a data pass has "
            f"{counted(tickets_per_pass, 'step')}, so one step needs run.data_passes >= "
            f"{1 / tickets_per_pass:.6g}, or write run.steps=1"
        )
        raise UserError(message)
    return math.ceil(steps)


def make_update(plan: Plan, gradient: Array | None = None) -> Update:
    """Return the optimiser of one rank; its state is zeros; see Update of ``gradient``."""
    size = plan.start.position.size
    settings = plan.config.optimizer
    schedule = Schedule(
        kind=settings.schedule,
        rate=settings.rate,
        warmup_steps=settings.warmup_steps,
        total_steps=plan.work.total_steps,
        every_steps=settings.every_steps,
        decay=settings.decay,
        final=settings.final,
    )
    is_windowed = plan.config.mode.kind != "bsp"
    is_mean_of_ranks = is_windowed and plan.config.mode.scale == "mean"
    return Update(
        make_optimizer(plan.config),
        schedule,
        plan.shards,
        plan.model.layout.dtype,
        clip=settings.clip,
        scale=1 / size if is_mean_of_ranks else 1.0,
        factor=make_factor(plan.config.staleness, size) if is_windowed else factors.none,
        compensation=make_compensation(plan.config),
        gradient=gradient,
        applies=not is_windowed,
        twin=plan.twin,
    )


def _check_samples(config: Config, source: Source, size: int) -> None:
    if size > source.num_samples:
        message = (
            f"{size} ranks are more than the {source.num_samples} training samples; "
            f"start at most {source.num_samples}"
        )
        raise UserError(message)
    if config.checkpoint.enabled and config.checkpoint.keep_best and not source.num_test:
        message = (
            f"checkpoint.keep_best must be 0 without test samples, "
            f"got {config.checkpoint.keep_best}: they decide which checkpoint is the best"
        )
        raise UserError(message)


def _initial_parameters(model: Model, seed: int, *, is_new: bool) -> npt.NDArray[Any]:
    """Return what ``model.init`` gives, checked against the model's own layout; else zeros."""
    layout = model.layout
    if layout.dtype.name not in ("float32", "float64"):
        message = f"a model's parameters must be float32 or float64, got {layout.dtype}"
        raise UserError(message)
    if not is_new:
        with allocating():
            return np.zeros(layout.size, layout.dtype)
    try:
        initial = np.asarray(model.init(seed))
    except (UserError, MemoryError):
        raise
    except Exception as error:
        message = f"model.init failed with {type(error).__name__}: {error}"
        raise UserError(message) from error
    if initial.shape != (layout.size,) or initial.dtype != layout.dtype:
        message = (
            f"model.init must give shape ({layout.size},) and {layout.dtype}, as the model's "
            f"layout says, got {initial.shape} and {initial.dtype}"
        )
        raise UserError(message)
    if not np.isfinite(initial).all():
        message = f"model.init must give finite numbers, got {initial[~np.isfinite(initial)][0]}"
        raise UserError(message)
    return initial


def _check_early_stop(config: Config, source: Source) -> None:
    if config.run.early_stop is not None and not source.num_test:
        message = (
            f"run.early_stop is {config.run.early_stop}, but there are no test samples to go by; "
            "give some, or write run.early_stop=none"
        )
        raise UserError(message)


def _check_straggler(config: Config, size: int) -> None:
    settings = config.straggler
    delays = settings.delay if isinstance(settings.delay, tuple) else (settings.delay,)
    if settings.kind == "none":
        return
    if not any(delays):
        message = (
            f"straggler.delay must be > 0 for straggler.kind '{settings.kind}', "
            f"got {settings.delay}; give a mean delay or straggler.kind=none"
        )
        raise UserError(message)
    beyond = [rank for rank in settings.ranks if rank >= size]
    if beyond:
        message = f"straggler.ranks must be < {size}, the number of ranks, got {beyond[0]}"
        raise UserError(message)
    if isinstance(settings.delay, tuple) and len(settings.delay) != size:
        message = (
            f"straggler.delay must be a number or a list of {size}, one for each rank, "
            f"got {len(settings.delay)}"
        )
        raise UserError(message)
