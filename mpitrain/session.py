"""One run on every rank, from start to end: build, train, evaluate, close, say what came out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.bookkeeping import (
    log_attributes,
    make_directory,
    open_log,
    reopen_directory,
    status,
    write_failure,
)
from mpitrain.build import Plan, make_plan, open_exchange
from mpitrain.checkpoint_content import STATE, read_optimizer_into, read_parameters_into
from mpitrain.checkpointing import Checkpointer
from mpitrain.comm.host_clock import HostClock
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.config import Config, to_toml
from mpitrain.core.errors import MpitrainError, StoppedError, UserError, agreed
from mpitrain.core.position import Start
from mpitrain.data.source import Source
from mpitrain.evaluation import Evaluator, RegularEvaluation
from mpitrain.loader import Loader
from mpitrain.log_keeper import LogKeeper
from mpitrain.meeting import Deadline, Meeting
from mpitrain.models.model import Model
from mpitrain.modes.record import StepRecord
from mpitrain.progress_line import Progress
from mpitrain.result import SCHEMA, Result, parameters_sha256
from mpitrain.resuming import (
    Resumption,
    check_data,
    checkpoint_of,
    environment_changes,
    find_resumption,
    is_done,
)
from mpitrain.stop import Stop, number_of
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.run_lock import RunLock
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.straggler import Injector, make_injector
from mpitrain.totals import Totals
from mpitrain.training import Observer, train_steps

EVALUATION_TIMES = 10.0  # patience for the evaluation at the end, in mode.limit_s


def run_training(
    world: World,
    config: Config,
    *,
    model: Model | None = None,
    source: Source | None = None,
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
    world.agree(lambda: _check_threads(world, config))
    plan = world.agree(lambda: _make_plan(config, world.size, model, source))
    if config.run.init_from is not None:
        plan = _started_from(world, plan, config.run.init_from)
    world.check_equal(_identity(plan))
    stop = stop or Stop()
    _prepare(world, config, stop)

    def open_directory() -> tuple[RunDirectory, str]:
        return make_directory(plan, world), uuid.uuid4().hex

    directory, run_id = world.from_root(open_directory)
    with _locked(world, directory):
        return _run(world, plan, directory, run_id, stop)


def resume_training(
    world: World,
    root: Path,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    checkpoint: str | None = None,
    model: Model | None = None,
    source: Source | None = None,
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
    with _locked(world, RunDirectory(root)):
        found = world.from_root(lambda: find_resumption(root, overrides, checkpoint))
        _check_files(world, found)
        config, start = found.config, found.start(world.size)
        world.agree(lambda: _check_threads(world, config))
        plan = world.agree(lambda: _make_plan(config, world.size, model, source, start))
        world.agree(lambda: check_data(found.facts, plan.source.digest))
        world.agree(lambda: _check_work(found, plan))
        world.agree(lambda: read_parameters_into(found.checkpoint, plan.model.layout, plan.initial))
        world.check_equal(_identity(plan))
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
        result = Session(world, plan, directory, run_id, stop, resumption).run()
        if world.is_root:
            directory.write_result(result.facts)
            directory.write_status(status("done", life=life))
    except StoppedError as error:
        if world.is_root:
            directory.write_status(status("stopped", life=life, reason=str(error)))
        world.meet("the status is written")
        raise
    except BaseException as error:
        reason = f"rank {world.rank} on {world.host}: {type(error).__name__}: {error}"
        write_failure(directory, life, reason)
        raise
    world.meet("the result is written")
    plan.source.close()
    return result


@contextmanager
def _locked(world: World, directory: RunDirectory) -> Iterator[None]:
    """Hold the run directory's lock, on rank 0."""
    locks: list[RunLock] = []

    def take() -> None:
        if not directory.run_toml.is_file():
            message = f"{directory.root} is no run directory: there is no {directory.run_toml}"
            raise UserError(message)
        locks.append(RunLock(directory.root))

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
    """Check the files of the checkpoint against their SHA-256, each rank some of them."""
    folder = Checkpoints(found.directory.checkpoints)
    mine = sorted(found.checkpoint.files)[world.rank :: world.size]
    world.agree(lambda: folder.check(found.checkpoint, mine))


def _check_work(found: Resumption, plan: Plan) -> None:
    if is_done(found.directory) and plan.work.total_steps <= plan.start.position.steps:
        message = (
            f"{found.directory.root} is done: all {plan.start.position.steps} steps are taken; "
            "give a larger run.steps or run.data_passes to go on"
        )
        raise UserError(message)


def _reopen(world: World, found: Resumption, plan: Plan) -> None:
    reopen_directory(found.directory, plan, world)
    changes = environment_changes(found.facts)
    if changes:
        world.speak(f"environment differs: {changes}; bit-identity is not promised")
    newer = Checkpoints(found.directory.checkpoints)
    newer.clear_debris()
    aside = newer.set_aside(found.checkpoint)
    if aside:
        world.speak(f"newer checkpoints were set aside: {', '.join(aside)}")


def _started_from(world: World, plan: Plan, place: str) -> Plan:
    """Return the plan with the parameters of another run's checkpoint."""
    found = world.from_root(lambda: checkpoint_of(place))

    def read() -> None:
        Checkpoints(found.path.parent).check(found, [STATE])
        read_parameters_into(found, plan.model.layout, plan.initial)

    world.agree(read)
    return plan


def _make_plan(
    config: Config,
    size: int,
    model: Model | None,
    source: Source | None,
    start: Start | None = None,
) -> Plan:
    try:
        return make_plan(config, size, model=model, source=source, start=start)
    except UserError:
        raise
    except (MemoryError, OverflowError, ValueError) as error:  # NumPy says ValueError too
        message = f"the model or the data cannot be made: {error}; take smaller ones"
        raise UserError(message) from error


def _check_threads(world: World, config: Config) -> None:
    if config.mode.progress == "thread" and world.thread_level != "multiple":
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


class Session:
    """One rank's part in one life of a run."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        directory: RunDirectory,
        run_id: str,
        stop: Stop,
        resumption: Resumption | None = None,
    ) -> None:
        """Open what the life needs between the ranks.

        Collective: yes.
        """
        self.world, self.plan, self.directory = world, plan, directory
        self._run_id = run_id
        self._stop = stop
        self._earlier = Totals() if resumption is None else resumption.totals
        self._began_s = time.monotonic()
        self._clock = HostClock(world)
        self._exchange = open_exchange(world, plan, world.patience)
        self._mode = self._exchange.mode
        if resumption is not None:
            self._read_optimizer(resumption)
        self._evaluator = Evaluator(self._mode, plan.model, plan.source, plan.shards)
        self._log = LogKeeper(self._open_log(), self._lose_log, self._clock.now)
        self._checkpointer = self._make_checkpointer()
        self._meeting = self._make_meeting()
        self._mode.wants_meeting = self._meeting.is_wanted
        self._progress: Progress | None = None

    def run(self) -> Result:
        """Train to the end.

        Collective: yes.
        """
        self._announce()
        try:
            with self._log:  # on an error it is closed as the log of a rank that was cut off
                self._mode.put(self.plan.initial)
                self._tell_start()
                self._train()
                facts, parameters = self._conclude()
        except MpitrainError as error:
            if error.is_agreed:  # all ranks are here
                self._exchange.close()
            raise
        self._exchange.close()
        if self._progress is not None:
            self._progress.say(_summary(facts))
            self._progress.close()
        return Result(facts=facts, parameters=parameters)

    def _train(self) -> None:
        """Train, from a first checkpoint on."""
        world, plan, mode = self.world, self.plan, self._mode
        start = plan.start.position
        if start.steps == 0:
            self._checkpointer.take(start, self._earlier)
            world.meet("all ranks have copied what the first checkpoint saves")
        dtype = plan.model.layout.dtype
        loader = Loader(plan.source, plan.order, dtype, ahead=world.size)
        parameters = plan.model.layout.views(mode.parameters)
        gradient = plan.model.layout.views(mode.gradient)
        train_steps(
            mode,
            loader.load,
            lambda batch: plan.model.loss_and_gradient(parameters, batch, gradient),
            self._clock.now,
            StepRecord(plan.shards.count),
            self._meeting,
            injector=self._make_injector(),
            observers=self._observers(),
        )

    def _make_checkpointer(self) -> Checkpointer:
        plan = self.plan

        def evaluate(parameters: npt.NDArray[Any]) -> dict[str, float]:
            return self._evaluator.means_of(plan.model.layout.views(parameters))

        return Checkpointer(
            self.world,
            plan,
            self._mode,
            self._exchange.update,
            Checkpoints(self.directory.checkpoints),
            self._run_id,
            flush_log=self._log.sync,
            evaluate=evaluate,
            tell=self._log.event,
        )

    def _make_meeting(self) -> Meeting:
        gradient = self._mode.gradient
        return Meeting(
            self.world,
            self._mode,
            self._checkpointer,
            self._stop,
            earlier=self._earlier,
            deadline=self._deadline(),
            event=self._log.event,
            gradient_is_finite=lambda: bool(np.isfinite(gradient).all()),
            place=str(self.directory.root),
        )

    def _deadline(self) -> Deadline | None:
        limit_s = self.plan.config.run.limit_s
        if limit_s is None:
            return None
        return Deadline(self._began_s + limit_s, f"run.limit_s = {limit_s:g}")

    def _read_optimizer(self, found: Resumption) -> None:
        new, rank = self.plan.start.position, self.world.rank
        state = self._exchange.update.state
        self.world.agree(lambda: read_optimizer_into(found.checkpoint, found.old, new, rank, state))

    def _lose_log(self, reason: str) -> None:
        """Stop or go on, as the run file says, when the log of this rank cannot be written."""
        if self.plan.config.log.on_error == "stop":
            self._meeting.note_trouble(reason)
        else:
            self.world.speak(f"warning: {reason}; training goes on without it (log.on_error)")

    def _tell_start(self) -> None:
        start = self.plan.start
        if start.life:
            detail = {"checkpoint": start.checkpoint, "steps": start.position.steps}
            self._log.event("resume", detail | {"life": start.life})

    def _make_injector(self) -> Injector | None:
        settings = self.plan.config.straggler
        injector = make_injector(settings, self.plan.config.run.seed, self.world.rank)
        if injector is not None:
            detail = {"kind": settings.kind, "delay": injector.mean_delay, "unit": settings.unit}
            self._log.event("straggler", detail)
        return injector

    def _observers(self) -> tuple[Observer, ...]:
        config, plan = self.plan.config, self.plan
        observers: list[Observer] = [self._log]
        if self.world.is_root:
            run, total = config.run, plan.work.total_steps
            first = plan.start.position.steps
            batch_size = config.data.batch_size
            self._progress = Progress(self._mode, first, total, batch_size, run.progress_every_s)
            observers.append(self._progress)
            if run.evaluate_every:
                observers.append(
                    RegularEvaluation(
                        self._evaluator, run.evaluate_every, first, total, self._tell_evaluation
                    )
                )
        return tuple(observers)

    def _tell_evaluation(self, outcome: Mapping[str, Any]) -> None:
        self._log.event("evaluation", outcome)
        if self._progress is not None:
            self._progress.tell(outcome)

    def _conclude(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Evaluate the final parameters and check that every rank has the same."""
        world, mode, model = self.world, self._mode, self.plan.model
        final = self._evaluator.parameters
        mode.snapshot_into(final, self._evaluator.versions)
        digest = parameters_sha256(final)
        self._log.event("digest", {"parameters_sha256": digest})
        if len(set(world.gather_obj(digest))) > 1:
            message = "the ranks ended with different parameters; this is a bug or a broken MPI"
            raise agreed(MpitrainError(message))
        outcome: dict[str, Any] = {}
        if world.is_root:
            outcome = self._evaluator.outcome()
            self._tell_evaluation(outcome)
        outcome = world.gather_obj(outcome, "rank 0 has evaluated", times=EVALUATION_TIMES)[0]
        facts = self._facts(self._meeting.totals, outcome, digest)
        return facts, {k: v.copy() for k, v in model.layout.views(final).items()}

    def _facts(self, totals: Totals, means: Mapping[str, float], digest: str) -> dict[str, Any]:
        config, name = self.plan.config, self.plan.model.metric_name
        metric = means.get(name)
        return {
            "schema": SCHEMA,
            "run": config.run.name,
            "mode": config.mode.kind,
            "bound": config.mode.bound,
            "ranks": self.world.size,
            "life": self.plan.start.life,
            "seed": config.run.seed,
            "steps": totals.num_steps,
            "samples": totals.num_samples,
            "seconds": totals.seconds,
            "loss": means.get("loss"),
            "metric_name": name,
            "metric": metric,
            **({"accuracy": metric} if name == "accuracy" else {}),
            "staleness_mean": totals.staleness_mean,
            "staleness_max": totals.staleness_max,
            "lead_max": totals.lead_max,
            "wait_share": totals.wait_share,
            "parameters_sha256": digest,
            "directory": str(self.directory.root),
        }

    def _open_log(self) -> LogWriter | NullLog:
        exchange, plan, world = self._exchange, self.plan, self.world
        attributes = {
            **log_attributes(world, plan),
            "run_id": self._run_id,
            "window_mechanism": exchange.window_mechanism,
            "progress_remedy": exchange.progress_remedy,
            "clock_error_s": self._clock.error_s,
        }
        return world.agree(lambda: open_log(world, plan, self.directory, attributes))

    def _announce(self) -> None:
        if not self.world.is_root:
            return
        work, start = self.plan.work, self.plan.start
        self.world.speak(_heading(self.plan.config, self.world, self.plan))
        if start.life:
            self.world.speak(f"life {start.life} goes on from {start.checkpoint}")
        if work.total_steps > work.num_tickets:
            self.world.speak(
                f"{work.num_tickets} steps are rounded up to {work.total_steps}: "
                f"a last round is completed by all {self.world.size} ranks"
            )


def _heading(config: Config, world: World, plan: Plan) -> str:
    bound = "" if config.mode.bound is None else f" bound {config.mode.bound}"
    return (
        f"{config.mode.kind}{bound}, {world.size} ranks, {plan.model.layout.size} parameters in "
        f"{plan.shards.count} shards, {plan.work.total_steps} steps of "
        f"{config.data.batch_size} samples"
    )


def _summary(facts: Mapping[str, Any]) -> str:
    speed = facts["samples"] / facts["seconds"] if facts["seconds"] else 0.0
    metric = "" if facts["metric"] is None else f"{facts['metric_name']} {facts['metric']:.4f}, "
    return (
        f"done: {facts['steps']} steps in {facts['seconds']:.1f} s, {speed:.0f} samples/s, "
        f"{metric}mean staleness {facts['staleness_mean']:.2f} (largest "
        f"{facts['staleness_max']}), {facts['wait_share']:.0%} of the time waiting, "
        f"in {facts['directory']}"
    )
