"""Models for jobs that die on purpose: model.kind = "tests.lives.hooks:NAME".

What is to happen comes by environment, so that a resumed life, started without it, lives on:

    MPITRAIN_TEST_KILL = "RANK PHASE COUNT"   SIGKILL when the writer of files gets there
"""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np

from mpitrain.config import Config
from mpitrain.data.source import Source
from mpitrain.models.mlp import Mlp
from mpitrain.storage import durable

KILL = "MPITRAIN_TEST_KILL"


def killed_while_writing(config: Config, source: Source) -> Mlp:
    """Return an mlp; one rank is killed at a phase of writing a file."""
    from mpi4py import MPI

    rank, phase, count = os.environ.get(KILL, "-1 none 0").split()
    if MPI.COMM_WORLD.rank == int(rank):
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
