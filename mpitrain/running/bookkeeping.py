"""What a run writes about itself: its directory, its status, and the logs with their attributes."""

from __future__ import annotations

import errno
import itertools
import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mpitrain import environment
from mpitrain.config import Config, changed, to_toml
from mpitrain.core.errors import LogError, MpitrainError, UserError, reason
from mpitrain.core.layout import Layout
from mpitrain.plan import Plan
from mpitrain.slurm import Slurm
from mpitrain.storage.durable import make_folder, sync_folder, write_bytes
from mpitrain.storage.joint_view import write_joint_view
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.run_directory import RunDirectory, status_of
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.storage.start import StartMarks

ANOTHER_DIRECTORY = "give another one, run.directory=..."
PARTS = (
    "run.toml",
    "status.json",
    "result.json",
    "log",
    "checkpoints",
    "metrics.csv",
    "tensorboard",
)


class Place(Protocol):
    """A rank as what it writes knows it: comm.world.World, or one that is only simulated."""

    @property
    def rank(self) -> int:
        """Number of this rank."""

    @property
    def size(self) -> int:
        """Number of ranks."""

    @property
    def host(self) -> str:
        """Name of this rank's host."""

    @property
    def hosts(self) -> list[str]:
        """Name of every rank's host, by rank."""

    @property
    def cores(self) -> str:
        """The cores that this rank may run on, "0-3,8"; empty for one that is simulated."""

    @property
    def library(self) -> str:
        """Name and version of the MPI library, "none" without one."""

    @property
    def thread_level(self) -> str:
        """Thread level of MPI, "none" without one."""

    @property
    def is_root(self) -> bool:
        """Whether this rank speaks for all."""

    def speak(self, text: str) -> None:
        """Say a line to people."""


def make_directory(config: Config) -> RunDirectory:
    """Make the folder of a new run, or take one that is there.

    Raises:
        UserError: it cannot be made.

    Collective: no; rank 0 alone calls it.
    """
    log_root = None if config.log.directory is None else Path(config.log.directory).absolute()
    if log_root is not None:
        _make_log_root(log_root)
    name = config.run.directory or _free_name(config.run.name)
    root = Path(name).absolute()
    try:
        make_folder(root)
    except (OSError, ValueError) as error:  # ValueError: no name for a file
        message = f"cannot create run directory {root}: {reason(error)}; {ANOTHER_DIRECTORY}"
        raise UserError(message) from error
    return RunDirectory(root, log_root)


def _make_log_root(folder: Path) -> None:
    try:
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    except (OSError, ValueError) as error:
        message = (
            f"log directory {folder} cannot be written: {reason(error)}; give another one, "
            "log.directory=..."
        )
        raise UserError(message) from error


def fill_directory(
    directory: RunDirectory,
    plan: Plan,
    world: Place,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Write run.toml and status.json of a new run; return the run's id.

    Args:
        directory: of the run.
        plan: of the run.
        world: its ranks.
        facts: more of its environment, for run.toml.

    Raises:
        UserError: the directory holds a run already, or cannot be written.

    Collective: no; rank 0 alone calls it, and holds the lock.
    """
    name, run_id = str(directory.root), uuid.uuid4().hex
    places = {"run.directory": name}
    if directory.log_root is not None:
        places["log.directory"] = str(directory.log_root)
    _refuse_used(directory, name)
    try:
        directory.keep_reserve()
        config = changed(plan.config, places)
        _write_run_file(directory, config, world, run_id, _facts(plan, facts))
        directory.write_status(status_of("running"))
    except OSError as error:
        message = f"run directory {name} cannot be written: {reason(error)}; {ANOTHER_DIRECTORY}"
        raise UserError(message) from error
    return run_id


def reopen_directory(directory: RunDirectory, plan: Plan, world: Place, run_id: str) -> None:
    """Make a run directory ready for its next life; what earlier lives left is kept.

    Raises:
        UserError: it cannot be written.

    Collective: no; rank 0 alone calls it, and holds the lock.
    """
    life = plan.start.life
    kept = directory.root / f"run-before-life-{life:03d}.toml"
    try:
        directory.keep_reserve()
        if not kept.exists():  # else a start of this life was killed here
            write_bytes(kept, directory.run_toml.read_bytes())
        _write_run_file(directory, plan.config, world, run_id, _facts(plan))
        if directory.result.exists():
            directory.result.replace(directory.root / f"result-before-life-{life:03d}.json")
        directory.write_status(status_of("running", life=life))
    except OSError as error:
        message = f"run directory {directory.root} cannot be written: {reason(error)}"
        raise UserError(message) from error


def _facts(plan: Plan, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a run file says of machine and data."""
    here = environment.facts(plan.device, plan.twin.label)
    return {**(more or {}), **here, **_job_facts(), "data_sha256": plan.source.digest}


def _job_facts() -> dict[str, str]:
    job = Slurm.from_environ(os.environ)
    return {} if job is None else job.facts()


def _write_run_file(
    directory: RunDirectory, config: Config, world: Place, run_id: str, facts: Mapping[str, Any]
) -> None:
    ranks = {"hosts": world.hosts, "mpi_library": world.library, "run_id": run_id}
    text = to_toml(config, environment={**facts, **ranks})
    write_bytes(directory.run_toml, text.encode())


def _refuse_used(directory: RunDirectory, name: str) -> None:
    if any((directory.root / part).exists() for part in PARTS):
        message = (
            f"run.directory {name!r} already holds a run; go on with it by resume {name}, "
            f"or {ANOTHER_DIRECTORY}"
        )
        raise UserError(message)


def _free_name(name: str) -> str:
    """Return a default directory that is not there yet, also when another run starts just now."""
    base = f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count(1):
        place = base if number == 1 else f"{base}-{number}"
        try:
            Path(place).mkdir(parents=True)
        except FileExistsError:
            continue
        except (OSError, ValueError):
            pass  # said by who writes into it
        return place
    raise AssertionError  # the count has no end


def write_failure(directory: RunDirectory, life: int, reason: str) -> None:
    """Say in status.json that the run failed, unless another rank has said why already.

    A directory that cannot be written does not hide the failure itself.
    """
    with suppress(OSError, MpitrainError):
        found = directory.read_status() or {}
        if found.get("status") != "failed" or found.get("life") != life:
            directory.write_status(status_of("failed", life=life, reason=reason))


def open_log(
    world: Place, plan: Plan, directory: RunDirectory, attributes: Mapping[str, Any]
) -> LogWriter | NullLog:
    """Open this rank's staleness log; rank 0 writes the joint view too.

    Args:
        world: the ranks.
        plan: what is trained.
        directory: of the run.
        attributes: of the log.

    Raises:
        UserError: the log's folder cannot be written or holds a log already.

    Collective: no.
    """
    log = plan.config.log
    if not log.enabled:
        return NullLog()
    path = directory.log_path(plan.start.life, world.rank)
    key = "run.directory" if log.directory is None else "log.directory"
    if path.exists():
        message = f"{key}: {path} is the log of another run; give another directory"
        raise UserError(message)
    try:
        return _write_log(world, plan, directory, attributes)
    except (OSError, LogError) as error:
        message = f"{key}: the log {path} cannot be written: {reason(error)}"
        if log.on_error == "continue":
            world.speak(f"warning: {message}; training goes on without it (log.on_error)")
            return NullLog()
        raise UserError(message) from error


def _write_log(
    world: Place, plan: Plan, directory: RunDirectory, attributes: Mapping[str, Any]
) -> LogWriter:
    log, start = plan.config.log, plan.start
    folder = directory.life_directory(start.life)
    make_folder(folder)
    if world.is_root:
        write_joint_view(
            directory.joint_path(start.life),
            folder.name,
            world.size,
            plan.shards.count,
            per_shard=log.per_shard,
        )
    position = start.position
    writer = LogWriter(
        directory.log_path(start.life, world.rank),
        attributes=attributes,
        shards=plan.shards.table(),
        start=StartMarks(position.clocks, start.cut, position.deal.holes),
        per_shard=log.per_shard,
        flush_every_s=log.flush_every_s,
    )
    sync_folder(folder)  # rows that a checkpoint relies on need their file's name
    return writer


def layout_text(layout: Layout) -> str:
    """Return names, shapes and dtype of the parameters as JSON."""
    shapes = {name: list(s) for name, s in zip(layout.names, layout.shapes, strict=True)}
    return json.dumps({"dtype": layout.dtype.name, "shapes": shapes})


def log_attributes(world: Place, plan: Plan) -> dict[str, str | int]:
    """Return what every log says of the run and of this rank."""
    config = plan.config
    facts, start = environment.facts(), plan.start
    return {
        "life": start.life,
        "start_checkpoint": start.checkpoint,
        "start_checkpoint_sha256": start.checkpoint_sha256,
        "start_life": start.from_life,
        "start_steps": start.position.steps,
        "start_version": start.position.version,
        "tickets_next": start.position.deal.next,
        "tickets_drawn": start.position.drawn,
        "rank": world.rank,
        "size": world.size,
        "host": world.host,
        "mode": config.mode.kind,
        "bound": -1 if config.mode.bound is None else config.mode.bound,
        "scale": config.mode.scale,
        "reduction": config.mode.reduction,
        "share": config.share,
        "seed": config.run.seed,
        "batch_size": plan.order.batch_size,
        "num_samples": plan.source.num_samples,
        "block": plan.source.block,
        "shards": plan.shards.count,
        "layout": layout_text(plan.model.layout),
        "mpi_library": world.library,
        "thread_level": world.thread_level,
        "blas": facts["blas"],
        "blas_threads": facts["blas_threads"],
        "numpy": facts["numpy"],
        "cpu": facts["cpu"],
        "cores": world.cores,
        "device": plan.device.text,
        "kernels": plan.twin.label,
        **_job_facts(),
    }
