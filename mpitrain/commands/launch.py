"""``launch``: start ranks with the mpiexec that belongs to this Python."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, positive
from mpitrain.launch import launch
from mpitrain.mpiexec import KINDS


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "launch",
        help="start ranks with the mpiexec that belongs to this Python",
        description="Find mpiexec, set the environment it needs, start COMMAND on every rank.",
        usage="mpitrain launch [-n N] [--hosts a:2,b:2] [--mpi KIND] [--dry-run] COMMAND ...",
    )
    command.add_argument(
        "-n",
        dest="ranks",
        metavar="N",
        type=positive,
        help="number of ranks; default: the hosts' slots, the Slurm job's tasks, or the cores",
    )
    command.add_argument(
        "--hosts",
        metavar="a:2,b:2",
        help="start ranks on these hosts, at most so many on each (ssh or Slurm must reach them)",
    )
    command.add_argument(
        "--mpi",
        choices=("auto", *KINDS),
        default="auto",
        help="refuse to start with another MPI than this",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="print the shell line instead of running it"
    )
    command.add_argument(
        "command",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="train [RUN.toml] [key=value ...], resume RUNDIR, doctor, bench NAME or a script.py",
    )
    command.set_defaults(run=launch)
