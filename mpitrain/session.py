"""One run on every rank, from start to end: build, train, evaluate, close, say what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.bookkeeping import (
    LIFE,
    log_attributes,
    make_directory,
    open_log,
    status,
    write_failure,
)
from mpitrain.build import Plan, make_plan, open_exchange
from mpitrain.comm.host_clock import HostClock
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.config import Config, to_toml
from mpitrain.core.errors import MpitrainError, UserError, agreed
from mpitrain.data.source import Source
from mpitrain.evaluation import Evaluator, RegularEvaluation
from mpitrain.loader import Loader
from mpitrain.models.model import Model
from mpitrain.modes.record import StepRecord
from mpitrain.progress_line import Progress
from mpitrain.result import SCHEMA, Result, parameters_sha256
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.straggler import Injector, make_injector
from mpitrain.totals import Totals, merged
from mpitrain.training import LogObserver, Observer, train_steps

EVALUATION_TIMES = 10.0  # patience for the evaluation at the end, in mode.limit_s


def run_training(
    world: World, config: Config, *, model: Model | None = None, source: Source | None = None
) -> Result:
    """Train as ``config`` says and return what came out, on every rank.

    Args:
        world: the ranks.
        config: the resolved configuration, the same on every rank.
        model: used instead of the configuration's.
        source: used instead of the configuration's.

    Raises:
        UserError: on every rank, when the input of any is wrong; nothing was written then.

    Collective: yes.
    """
    plan = world.agree(lambda: _make_plan(config, world.size, model, source))
    world.agree(lambda: _check_threads(world, config))
    world.check_equal(_identity(plan))
    mode = config.mode
    world.patience = Patience(warn_s=mode.warn_s, limit_s=mode.limit_s, speak=world.speak)
    directory, run_id = world.from_root(lambda: make_directory(plan, world))
    try:
        result = Session(world, plan, directory, run_id).run()
        if world.is_root:
            directory.write_result(result.facts)
            directory.write_status(status("done"))
    except BaseException as error:
        reason = f"rank {world.rank} on {world.host}: {type(error).__name__}: {error}"
        write_failure(directory, reason)
        raise
    world.meet("the result is written")
    plan.source.close()
    return result


def _make_plan(config: Config, size: int, model: Model | None, source: Source | None) -> Plan:
    try:
        return make_plan(config, size, model=model, source=source)
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
        "model.init": parameters_sha256(plan.initial),
    }


class Session:
    """One rank's part in one run."""

    def __init__(self, world: World, plan: Plan, directory: RunDirectory, run_id: str) -> None:
        """Open what the run needs between the ranks.

        Collective: yes.
        """
        self._world = world
        self._plan = plan
        self._directory = directory
        self._run_id = run_id
        self._clock = HostClock(world)
        self._exchange = open_exchange(world, plan, world.patience)
        self._mode = self._exchange.mode
        self._evaluator = Evaluator(self._mode, plan.model, plan.source, plan.shards)
        self._log = self._open_log()
        self._progress: Progress | None = None

    def run(self) -> Result:
        """Train to the end.

        Collective: yes.
        """
        world, mode = self._world, self._mode
        self._announce()
        with self._log:  # on an error it is closed as the log of a rank that was cut off
            mode.put(self._plan.initial)
            totals = self._train()
            mode.finish()
            facts, parameters = self._conclude(merged(world.gather_obj(totals)))
        self._exchange.close()
        if self._progress is not None:
            self._progress.say(_summary(facts))
            self._progress.close()
        return Result(facts=facts, parameters=parameters)

    def _train(self) -> Totals:
        plan, mode = self._plan, self._mode
        dtype = plan.model.layout.dtype
        loader = Loader(plan.source, plan.order, dtype, ahead=self._world.size)
        parameters = plan.model.layout.views(mode.parameters)
        gradient = plan.model.layout.views(mode.gradient)
        return train_steps(
            mode,
            loader.load,
            lambda batch: plan.model.loss_and_gradient(parameters, batch, gradient),
            self._clock.now,
            StepRecord(plan.shards.count),
            injector=self._make_injector(),
            observers=self._observers(),
        )

    def _make_injector(self) -> Injector | None:
        settings = self._plan.config.straggler
        injector = make_injector(settings, self._plan.config.run.seed, self._world.rank)
        if injector is not None:
            detail = {"kind": settings.kind, "delay": injector.mean_delay, "unit": settings.unit}
            self._log.event(self._clock.now(), "straggler", detail)
        return injector

    def _observers(self) -> tuple[Observer, ...]:
        config, plan = self._plan.config, self._plan
        observers: list[Observer] = [LogObserver(self._log.append)]
        if self._world.is_root:
            run = config.run
            self._progress = Progress(
                self._mode, plan.work.total_steps, config.data.batch_size, run.progress_every_s
            )
            observers.append(self._progress)
            if run.evaluate_every:
                observers.append(
                    RegularEvaluation(
                        self._evaluator,
                        run.evaluate_every,
                        plan.work.total_steps,
                        self._tell_evaluation,
                    )
                )
        return tuple(observers)

    def _tell_evaluation(self, outcome: Mapping[str, Any]) -> None:
        self._log.event(self._clock.now(), "evaluation", outcome)
        if self._progress is not None:
            self._progress.tell(outcome)

    def _conclude(self, totals: Totals) -> tuple[dict[str, Any], dict[str, Any]]:
        """Evaluate the final parameters and check that every rank has the same."""
        world, mode, model = self._world, self._mode, self._plan.model
        final = self._evaluator.parameters
        mode.snapshot_into(final, self._evaluator.versions)
        digest = parameters_sha256(final)
        self._log.event(self._clock.now(), "digest", {"parameters_sha256": digest})
        if len(set(world.gather_obj(digest))) > 1:
            message = "the ranks ended with different parameters; this is a bug or a broken MPI"
            raise agreed(MpitrainError(message))
        outcome: dict[str, Any] = {}
        if world.is_root:
            outcome = self._evaluator.outcome()
            self._tell_evaluation(outcome)
        outcome = world.gather_obj(outcome, "rank 0 has evaluated", times=EVALUATION_TIMES)[0]
        facts = self._facts(totals, outcome, digest)
        return facts, {k: v.copy() for k, v in model.layout.views(final).items()}

    def _facts(self, totals: Totals, means: Mapping[str, float], digest: str) -> dict[str, Any]:
        config, name = self._plan.config, self._plan.model.metric_name
        metric = means.get(name)
        return {
            "schema": SCHEMA,
            "run": config.run.name,
            "mode": config.mode.kind,
            "bound": config.mode.bound,
            "ranks": self._world.size,
            "life": LIFE,
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
            "directory": str(self._directory.root),
        }

    def _open_log(self) -> LogWriter | NullLog:
        exchange, plan = self._exchange, self._plan
        attributes = {
            **log_attributes(self._world, plan),
            "run_id": self._run_id,
            "life": LIFE,
            "window_mechanism": exchange.window_mechanism,
            "progress_remedy": exchange.progress_remedy,
            "clock_error_s": self._clock.error_s,
        }
        return self._world.agree(lambda: open_log(self._world, plan, self._directory, attributes))

    def _announce(self) -> None:
        if not self._world.is_root:
            return
        work = self._plan.work
        self._world.speak(_heading(self._plan.config, self._world, self._plan))
        if work.total_steps > work.num_tickets:
            self._world.speak(
                f"{work.num_tickets} steps are rounded up to {work.total_steps}: "
                f"a last round is completed by all {self._world.size} ranks"
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
