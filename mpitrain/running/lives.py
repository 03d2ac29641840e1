"""The lives of a run: the first, and those that go on from a checkpoint; on all ranks alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.config import Config, to_toml
from mpitrain.core.errors import MpitrainError, StoppedError, UserError, reason
from mpitrain.factories import Data
from mpitrain.models.model import Model
from mpitrain.plan import Plan, make_plan
from mpitrain.result import Result, parameters_sha256
from mpitrain.running.bookkeeping import (
    ANOTHER_DIRECTORY,
    fill_directory,
    make_directory,
    reopen_directory,
    write_failure,
)
from mpitrain.running.checkpoint_content import read_parameters_into
from mpitrain.running.data_check import check_evaluation, check_samples
from mpitrain.running.device import placed
from mpitrain.running.resuming import (
    Resumption,
    check_data,
    checkpoint_of,
    environment_changes,
    find_resumption,
    is_done,
)
from mpitrain.running.session import Session
from mpitrain.running.tensorboard_sink import check_tensorboard
from mpitrain.stop import Stop, number_of
from mpitrain.storage.checkpoint_mark import STATE
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.run_directory import RunDirectory, check_is_run, status_of
from mpitrain.storage.run_lock import WRITABLE, RunLock


def run_training(
    world: World,
    config: Config,
    *,
    model: Model | None = None,
    source: Data | None = None,
    stop: Stop | None = None,
) -> Result:
    """Train as ``config`` says and return what came out, on every rank.

    Args:
        world: the ranks.
        config: the resolved configuration, the same on every rank.
        model: used instead of the configuration's.
        source: used instead of the configuration's.
        stop: set by signals.

    Raises:
        UserError: on every rank, when the input of any is wrong; nothing was written then.
        StoppedError: on every rank, when it was asked to stop; there is a checkpoint then.

    Collective: yes.
    """
    world.agree(lambda: _check_libraries(world, config))
    plan = world.agree(lambda: make_plan(config, world.size, model=model, source=source))
    plan = _started_from(world, plan, config.run.init_from)
    world.check_equal(_identity(plan))
    plan = placed(world, plan)
    dtype = plan.model.layout.dtype
    world.agree(lambda: check_samples(plan.source, dtype, world.rank, world.size))
    world.from_root(lambda: check_evaluation(plan.model, plan.source, plan.initial, plan.twin.xp))
    stop = stop or Stop()
    _prepare(world, config, stop)

    directory = world.from_root(lambda: make_directory(config))
    with _locked(world, directory, ANOTHER_DIRECTORY):
        run_id = world.from_root(lambda: fill_directory(directory, plan, world))
        return _run(world, plan, directory, run_id, stop)


def resume_training(
    world: World,
    root: Path,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    checkpoint: str | None = None,
    model: Model | None = None,
    source: Data | None = None,
    stop: Stop | None = None,
) -> Result:
    """Go on with the run in ``root`` from a checkpoint, as a new life; see ``run_training``.

    Args:
        world: the ranks; their number may be another one.
        root: the run directory.
        overrides: ``key=value`` words, or values by dotted key.
        checkpoint: name of the checkpoint; None takes the newest.
        model: used instead of the configuration's.
        source: used instead of the configuration's.
        stop: set by signals.

    Collective: yes.
    """
    world.from_root(lambda: check_is_run(root))
    with _locked(world, RunDirectory(root)):
        found = world.from_root(lambda: find_resumption(root, overrides, checkpoint))
        _check_files(world, found)
        config, start = found.config, found.start(world.size)
        world.agree(lambda: _check_libraries(world, config))
        plan = world.agree(
            lambda: make_plan(config, world.size, model=model, source=source, start=start)
        )
        world.agree(lambda: check_data(found.facts, plan.source.digest))
        world.agree(lambda: _check_work(found, plan))
        if found.checkpoint is None:
            plan = _started_from(world, plan, config.run.init_from)
        else:
            _read_parameters(world, plan, found.checkpoint)
        world.check_equal(_identity(plan))
        plan = placed(world, plan)
        stop = stop or Stop()
        _prepare(world, config, stop)
        world.from_root(lambda: _reopen(world, found, plan))
        return _run(world, plan, found.directory, found.run_id, stop, found)


def _run(
    world: World,
    plan: Plan,
    directory: RunDirectory,
    run_id: str,
    stop: Stop,
    resumption: Resumption | None = None,
) -> Result:
    """Run a life to its end and say in status.json how it ended."""
    life = plan.start.life
    try:
        session = Session(world, plan, directory, run_id, stop, resumption)
        result = session.run()
        if world.is_root:
            _write_outcome(directory, life, result, session.early_stop)
    except StoppedError as error:
        if world.is_root:
            directory.write_status(status_of("stopped", life=life, reason=str(error)))
        world.meet("the status is written")
        raise
    except BaseException as error:
        text = f"rank {world.rank} on {world.host}: {type(error).__name__}: {error}"
        is_agreed = isinstance(error, MpitrainError) and error.is_agreed
        if world.is_root or not is_agreed:
            write_failure(directory, life, str(error) if is_agreed else text)
        raise
    world.meet("the result is written")
    plan.source.close()
    return result


def _write_outcome(directory: RunDirectory, life: int, result: Result, why: str) -> None:
    try:
        directory.write_result(result.facts)
        directory.write_status(status_of("done", life=life, reason=why))
        directory.give_reserve()
    except OSError as error:
        message = (
            f"the result cannot be written: {reason(error)}; resume {directory.root} writes it"
        )
        raise MpitrainError(message) from error


@contextmanager
def _locked(world: World, directory: RunDirectory, remedy: str = WRITABLE) -> Iterator[None]:
    """Hold the run directory's lock, on rank 0."""
    locks: list[RunLock] = []

    def take() -> None:
        locks.append(RunLock(directory.root, remedy))

    world.from_root(take)
    try:
        yield
    finally:
        for lock in locks:
            lock.close()


def _prepare(world: World, config: Config, stop: Stop) -> None:
    """Listen to the run's stop signal, and be as patient as it says."""
    mode = config.mode
    stop.listen([number_of(config.run.stop_signal)])
    world.patience = Patience(warn_s=mode.warn_s, limit_s=mode.limit_s, speak=world.speak)


def _check_files(world: World, found: Resumption) -> None:
    """Check the files of the checkpoint against their SHA-256, each rank some of them.

    That of the state was checked when the position was read.
    """
    checkpoint = found.checkpoint
    if checkpoint is not None:
        folder = Checkpoints(found.directory.checkpoints)
        mine = sorted(checkpoint.files.keys() - {STATE})[world.rank :: world.size]
        world.agree(lambda: folder.check(checkpoint, mine))


def _check_work(found: Resumption, plan: Plan) -> None:
    taken, total = plan.start.position.steps, plan.work.total_steps
    if total < taken or (is_done(found.directory) and total == taken):
        message = (
            f"{found.directory.root} has taken {taken} steps, of {total} that are asked for; "
            "give a larger run.steps or run.data_passes to go on"
        )
        raise UserError(message)


def _reopen(world: World, found: Resumption, plan: Plan) -> None:
    """Make the run directory ready for the new life; what says that it runs comes last."""
    if "simulated" in found.facts:
        world.speak(
            f"the lives before this one were {found.facts['simulated']}: their times are not those "
            "of these ranks, which go on from the checkpoint for real"
        )
    for line in environment_changes(found.facts, plan.device, plan.twin.label):
        world.speak(line)
    newer = Checkpoints(found.directory.checkpoints)
    newer.clear_debris()
    aside = [] if found.checkpoint is None else newer.set_aside(found.checkpoint)
    if aside:
        world.speak(f"checkpoints were set aside: {', '.join(aside)}")
    reopen_directory(found.directory, plan, world, found.run_id)


def _started_from(world: World, plan: Plan, place: str | None) -> Plan:
    """Return the plan with the parameters of another run's checkpoint, if one is named."""
    if place is not None:
        _read_parameters(world, plan, world.from_root(lambda: checkpoint_of(place)))
    return plan


def _read_parameters(world: World, plan: Plan, checkpoint: Checkpoint) -> None:
    world.agree(lambda: read_parameters_into(checkpoint, plan.model.layout, plan.initial))


def _check_libraries(world: World, config: Config) -> None:
    if config.log.tensorboard and world.is_root:
        check_tensorboard()
    needs_thread = config.mode.kind != "bsp" and config.mode.progress == "thread"
    if needs_thread and world.thread_level != "multiple":
        message = (
            "mode.progress 'thread' needs MPI thread level multiple, this MPI gave "
            f"{world.thread_level}; choose from: auto, none"
        )
        raise UserError(message)


def _identity(plan: Plan) -> dict[str, str]:
    """Return what every rank must have alike, as short texts."""
    layout, source = plan.model.layout, plan.source
    return {
        "the configuration": to_toml(plan.config),
        "the model's layout": f"{layout.names} {layout.shapes} {layout.dtype}",
        "the number of training samples": f"{source.num_samples} in blocks of {source.block}",
        "the parameters to start from (model.init)": parameters_sha256(plan.initial),
    }
