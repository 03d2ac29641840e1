"""Models for jobs that die on purpose: model.kind = "tests.lives.hooks:NAME".

What is to happen comes by environment, so that a resumed life, started without it, lives on:

    MPITRAIN_TEST_KILL = "RANK PHASE COUNT"   SIGKILL when the writer of files gets there
    MPITRAIN_TEST_ACT = "RANK ACTION PHASE"   do something in a phase of some step
    MPITRAIN_TEST_SLOW = "SECONDS"            a sync of a file takes rank 0 this long
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.config import Config
from mpitrain.data.source import Source
from mpitrain.models.mlp import Mlp
from mpitrain.storage import durable

KILL = "MPITRAIN_TEST_KILL"
ACT = "MPITRAIN_TEST_ACT"
SLOW = "MPITRAIN_TEST_SLOW"


def _own_rank() -> int:
    from mpi4py import MPI

    return MPI.COMM_WORLD.rank


def killed_while_writing(config: Config, source: Source) -> Mlp:
    """Return an mlp; one rank is killed at a phase of writing a file."""
    rank, phase, count = os.environ.get(KILL, "-1 none 0").split()
    if int(rank) >= 0 and _own_rank() == int(rank):  # a replay of the run has no MPI
        left = [int(count)]

        def reached(now: str) -> None:
            left[0] -= now == phase
            if now == phase and left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        durable.reached = reached
    return mlp(config, source)


def mlp(config: Config, source: Source) -> Mlp:
    """Return the mlp that the run file describes."""
    made: Any = config.model
    num = int(np.prod(source.sample_shape))
    return Mlp(num, made.hidden, source.num_classes, made.activation, made.dtype)


def slow_disk(config: Config, source: Source) -> Mlp:
    """Return an mlp; rank 0's checkpoints go to a slow disk."""
    from mpi4py import MPI

    seconds = float(os.environ[SLOW])
    if MPI.COMM_WORLD.rank == 0:
        durable.reached = lambda phase: time.sleep(seconds) if phase == "fsync" else None
    return mlp(config, source)


def acting(config: Config, source: Source) -> Mlp:
    """Return an mlp; one rank dies or hangs in a phase of a step, after some that are well."""
    from mpi4py import MPI

    rank, action, phase = os.environ.get(ACT, "-1 none none").split()
    if MPI.COMM_WORLD.rank == int(rank):
        owner, name = _place(phase, config.mode.kind)
        count = 1 if phase == "checkpoint" else 10
        _act_at(owner, name, ACTIONS[action], count, Path(str(config.run.directory)))
    return mlp(config, source)


def _place(phase: str, mode: str) -> tuple[type, str]:
    """Return a method that runs in the middle of a phase."""
    from mpitrain.comm.reduction import TreeReduction
    from mpitrain.comm.window import ParameterWindow
    from mpitrain.modes.synchronous import Synchronous
    from mpitrain.modes.window import Windowed
    from mpitrain.running.checkpointing import Checkpointer

    is_bsp = mode == "bsp"
    return {
        "wait": (Synchronous, "start") if is_bsp else (Windowed, "_may_go_on"),
        "read": (Synchronous, "read") if is_bsp else (ParameterWindow, "_get_piece"),
        "compute": (Mlp, "loss_and_gradient"),
        "write": (Synchronous, "_batch_size") if is_bsp else (ParameterWindow, "add"),
        "collective": (TreeReduction, "_is_complete"),
        "checkpoint": (Checkpointer, "_copy"),
    }[phase]


def _act_at(owner: Any, name: str, action: Callable[[], None], count: int, run: Path) -> None:
    """Make a method act at its ``count``-th call after the run's first checkpoint is complete."""
    original, left = getattr(owner, name), [count]

    def replaced(*arguments: Any) -> Any:
        if left[0] < count or any(run.glob("checkpoints/step-*/complete.json")):
            left[0] -= 1
        if left[0] == 0:
            action()
        return original(*arguments)

    setattr(owner, name, replaced)


def _loop() -> None:
    until = time.monotonic() + 3600
    while time.monotonic() < until:
        pass


ACTIONS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "loop": _loop,
    "segv": lambda: ctypes.string_at(8),  # type: ignore[arg-type,return-value]
}
