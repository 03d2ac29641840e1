"""Training on simulated ranks, in this process; it becomes an ordinary run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mpitrain.config import Config, Simulate, changed, ignored
from mpitrain.core.console import counted
from mpitrain.core.errors import LogError, UserError
from mpitrain.factories import Data
from mpitrain.models.model import Model
from mpitrain.plan import Plan, make_plan
from mpitrain.replaying.cluster import schedule_of
from mpitrain.replaying.life import AnySchedule
from mpitrain.replaying.place import Place
from mpitrain.replaying.training import ScheduledTraining
from mpitrain.result import Result
from mpitrain.running.bookkeeping import (
    ANOTHER_DIRECTORY,
    fill_directory,
    make_directory,
    write_failure,
)
from mpitrain.running.checkpoint_content import read_parameters_into
from mpitrain.running.device import placed_alone
from mpitrain.running.resuming import checkpoint_of
from mpitrain.running.wording import heading, rounded
from mpitrain.schedules.delays import (
    Delays,
    Draw,
    constant,
    drawn,
    empirical,
    geometric,
    measured,
    uniform,
)
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.stored import read_schedule, write_schedule
from mpitrain.stop import Stop
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_lock import RunLock

SCHEDULE = "schedule.h5"
NOT_LOOKED_AT = (
    *("mode.reduction", "mode.progress", "mode.warn_s", "mode.limit_s"),
    *("run.limit_s", "run.stop_before_limit_s", "run.stop_signal"),
    *("run.early_stop", "run.early_stop_delta"),
    *("checkpoint.enabled", "checkpoint.every_steps", "checkpoint.every_s", "checkpoint.keep"),
    *("checkpoint.keep_best", "checkpoint.on_error"),
    *("log.csv", "log.tensorboard", "log.on_error"),
)
"""Settings that no simulation looks at: there is one checkpoint, at the end."""
MOST_DELAYS = 10**8  # numbers that are kept; each is an addition of whole vectors too
MOST_LOGS = 256  # of simulated ranks that have a log each


def simulate_run(
    config: Config,
    *,
    model: Model | None = None,
    source: Data | None = None,
    stop: Stop | None = None,
) -> Result:
    """Train on ``simulate.ranks`` simulated ranks.

    Args:
        config: of the run.
        model: used instead of the configuration's.
        source: used instead of the configuration's.
        stop: set by signals.

    Raises:
        UserError: something in the configuration cannot be had; nothing is written.
        MpitrainError: the run diverges.

    Collective: no.
    """
    size, place = config.simulate.ranks, Place(0, config.simulate.ranks)
    asked, config = config, _settled(config)
    plan = make_plan(config, size, model=model, source=source)
    if config.run.init_from is not None:
        checkpoint = checkpoint_of(config.run.init_from)
        read_parameters_into(checkpoint, plan.model.layout, plan.initial)
    schedule = KINDS[config.simulate.kind](plan)
    plan = placed_alone(plan, config.device, place.speak)
    directory = make_directory(config)
    with closing(RunLock(directory.root, ANOTHER_DIRECTORY)):
        facts = {"simulated": f"simulated ({config.simulate.kind})"}
        run_id = fill_directory(directory, plan, place, facts)
        place.speak(f"simulated: {heading(plan)}")
        if plan.device.kind != "cpu":
            place.speak(f"device: {plan.device.text}")
        if rounding := rounded(plan):
            place.speak(rounding)
        for line in _ignored(asked, config, plan):
            place.speak(f"ignored: {line}")
        if not config.log.enabled and size > MOST_LOGS:
            place.speak(f"no staleness log: {counted(size, 'rank')}, at most {MOST_LOGS} have one")
        total = plan.work.total_steps
        try:
            made = ScheduledTraining(plan, directory, run_id, total, stop)
            with closing(made) as training:
                if isinstance(schedule, Schedule):
                    write_schedule(directory.root / SCHEDULE, schedule)
                training.train(plan, schedule)
                return training.result(
                    simulated=config.simulate.kind, simulate_seconds=training.seconds
                )
        except BaseException as error:
            write_failure(directory, 0, f"{type(error).__name__}: {error}")
            raise


def delays_of(plan: Plan) -> Delays:
    """Return the delays that a run file asks for.

    Raises:
        UserError: the run that they are to be measured from has none.
    """
    settings, size = plan.config.simulate, plan.start.position.size
    num_ticks = plan.work.total_steps // size
    if num_ticks * size**2 > MOST_DELAYS:
        message = (
            f"simulate.ranks = {size} and {num_ticks} steps of each make {num_ticks * size**2:.2g} "
            f"delays, one for every pair and step; at most {MOST_DELAYS:.0g} can be simulated"
        )
        raise UserError(message)
    seed = plan.config.run.seed if settings.seed is None else settings.seed
    return drawn(_draw_of(settings), seed, num_ticks, size)


def _draw_of(settings: Simulate) -> Draw:
    ticks = settings.delay_ticks
    if settings.delay == "measured":
        try:
            return empirical(measured(open_log(Path(str(settings.measured_from)))))
        except LogError as error:
            message = f"simulate.measured_from: {error}"
            raise UserError(message) from error
    if settings.delay == "geometric":
        return geometric(ticks)
    return constant(int(ticks)) if settings.delay == "constant" else uniform(int(ticks))


def events_of(plan: Plan) -> Schedule:
    """Return the schedule of the cluster that a run file describes."""
    return schedule_of(plan.config, plan.shards, plan.model.layout.dtype.itemsize, plan.work)


def stored_of(plan: Plan) -> Schedule:
    """Return the schedule of the file that a run file names.

    Raises:
        UserError: it is none, or one of other ranks or shards.
    """
    path = str(plan.config.simulate.path)
    schedule = read_schedule(path)
    for what, there, here in (
        ("simulate.ranks", schedule.size, plan.start.position.size),
        ("mode.shards", schedule.num_shards, plan.shards.count),
    ):
        if there != here:
            message = f"{path}: the schedule has {what} = {there}, not {here}; give {what}={there}"
            raise UserError(message)
    return schedule


KINDS: dict[str, Callable[[Plan], AnySchedule]] = {
    "delays": delays_of,
    "events": events_of,
    "file": stored_of,
}


def _settled(config: Config) -> Config:
    """Return the configuration with what the kind of simulation decides.

    Raises:
        UserError: a setting makes no sense with it.
    """
    values: dict[str, object] = {}
    if config.simulate.kind == "delays":
        _check_delays(config)
        values = {"mode.kind": "asp", "run.share": "equal", "log.per_shard": False}
    if config.simulate.kind == "file":
        values = _as_in_file(config)
    if config.simulate.ranks > MOST_LOGS:
        values["log.enabled"] = False
    return dataclasses.replace(changed(config, values), given=config.given)


def _as_in_file(config: Config) -> dict[str, object]:
    """Return what a stored schedule decides of a run."""
    schedule = read_schedule(str(config.simulate.path))
    return {
        "mode.kind": "bsp" if schedule.is_collective else "asp",
        "run.share": "equal" if schedule.is_collective else "shared",
        "run.steps": schedule.num_updates,
    }


def _ignored(asked: Config, settled: Config, plan: Plan) -> list[str]:
    """Return what was given in vain: by what was asked for where the kind decides, else as run."""
    aside = _unused(asked)

    def is_aside(line: str) -> bool:
        name = line.partition(" ")[0]
        return name in aside or name.partition(".")[0] in aside

    lines = [line for line in ignored(asked, plan.own, aside) if is_aside(line)]
    return lines + [line for line in ignored(settled, plan.own) if not is_aside(line)]


def _unused(config: Config) -> dict[str, str]:
    """Return tables and settings that this kind of simulation does not look at, and why."""
    reason = f"simulate.kind is {config.simulate.kind}"
    names = [*NOT_LOOKED_AT]
    if config.simulate.kind != "events":
        names += ["mode.kind", "mode.bound", "straggler", "run.share"]
    if config.simulate.kind == "delays":
        names += ["log.per_shard"]
    return dict.fromkeys(names, reason)


def _check_delays(config: Config) -> None:
    for name in ("factor", "compensation"):
        value = getattr(config.staleness, name)
        if value != "none":
            message = (
                f"staleness.{name} must be 'none' for simulate.kind 'delays', got '{value}': each "
                "worker has a copy of its own, and an update is as stale as many copies differ"
            )
            raise UserError(message)
