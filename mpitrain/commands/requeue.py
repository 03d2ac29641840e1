"""``requeue``: after a life of a run in a Slurm job, put the job back into the queue or end it."""

from __future__ import annotations

import argparse
from pathlib import Path

from mpitrain.batch.decision import AGAIN, MOST_ATTEMPTS
from mpitrain.commands.parsing import Commands, Parser

MOST_REQUEUES = 50


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "requeue",
        help="in a Slurm job, after its ranks have ended: go on in the same job again, or end it",
        description=(
            "Look at what a life left in the run directory, and requeue this Slurm job where the "
            "run is to go on; the exit code is the one to end the job script with. For job "
            "scripts: see jobs/train.sbatch."
        ),
    )
    command.add_argument("directory", metavar="RUNDIR", help="the run directory")
    command.add_argument(
        "--exit-code", type=int, default=0, metavar="N", help="exit code of srun or launch"
    )
    command.add_argument(
        "--signal",
        default="",
        metavar="NAME",
        help="signal that the job script got, for example USR1",
    )
    command.add_argument(
        "--at-most",
        type=int,
        default=MOST_REQUEUES,
        metavar="N",
        help="requeues in all after a time limit or a signal (%(default)s); those after a "
        "preemption or a lost node are not counted",
    )
    command.add_argument(
        "--never",
        action="store_true",
        help="only decide and write it down: another job goes on with the run, or none",
    )
    command.add_argument(
        "--after",
        default="",
        metavar="JOB",
        help="before a life: only see that the run did not give up in job JOB, which this one "
        "follows; exit code 2 where it did",
    )
    command.add_argument(
        "--attempt",
        type=int,
        default=MOST_ATTEMPTS,
        metavar="K",
        help=f"how often this start of the job has tried to start the ranks; exit code {AGAIN} "
        "says that it is to try again at once, because none of them has run",
    )
    command.set_defaults(run=_requeue)


def _requeue(options: argparse.Namespace) -> int:
    from mpitrain.batch.after_life import check_follows, end_life  # brings HDF5

    if options.after:
        check_follows(Path(options.directory), options.after)
        return 0
    return end_life(
        Path(options.directory),
        exit_code=options.exit_code,
        signal=options.signal,
        most_requeues=options.at_most,
        may_requeue=not options.never,
        attempt=options.attempt,
    )
