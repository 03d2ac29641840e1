"""The command line: ``python -m mpitrain COMMAND ...``, also installed as ``mpitrain``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mpitrain import __version__
from mpitrain.commands import (
    analyse,
    bench,
    cells,
    config,
    doctor,
    launch,
    repair,
    replay,
    requeue,
    resume,
    simulate,
    status,
    submit,
    train,
)
from mpitrain.commands.parsing import Parser, say_error
from mpitrain.core.errors import FAILED, USER_MISTAKE, MpitrainError, UserError

INTERRUPTED = 130
COMMANDS = (
    *(launch, train, resume),
    *(submit, status, requeue, cells),
    *(replay, simulate, analyse),
    *(config, repair, doctor, bench),
)

_DESCRIPTION = """\
Data-parallel training over MPI with the consistency you choose.

  python -m mpitrain launch -n 4 train RUN.toml [key=value ...]   finds mpiexec, starts 4 ranks
  mpirun -n 4 python -m mpitrain train RUN.toml [key=value ...]   the same by your own launcher
  python -m mpitrain train RUN.toml [key=value ...]               one rank
  ... resume RUNDIR [key=value ...]                               go on from the last checkpoint
  python -m mpitrain submit RUN.toml [key=value ...]              as a Slurm job that goes on itself
  python -m mpitrain status RUNDIR                                how a run and its jobs stand
  python -m mpitrain replay RUNDIR [key=value ...]                the same steps again, one process
  python -m mpitrain simulate RUN.toml [key=value ...]            ranks that are only simulated
  python -m mpitrain analyse NAME RUNDIR ...                      what happened in a run
  python -m mpitrain config [RUN.toml] [key=value ...]            every setting; what would be run
  python -m mpitrain repair RUNDIR                                close the logs of a killed run
  python -m mpitrain doctor                                       what works here, and what to do
  python -m mpitrain bench NAME                                   what things cost here
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Args:
        words: without the program's name; None takes those of this process.
    """
    options = _options(words)
    try:
        _check_working_directory()
        return int(options.run(options))
    except UserError as error:
        say_error(str(error))
        return USER_MISTAKE
    except MpitrainError as error:
        say_error(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; run file, overrides and options may come in any order.

    argparse leaves over the words that come behind an option that comes behind words.
    """
    parser = _parser()
    options, others = parser.parse_known_args(words)
    takes_words = "words" in options
    unknown = [word for word in others if word.startswith("-") or not takes_words]
    if unknown:
        command = Parser(prog=f"{parser.prog} {options.subcommand}")
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    if takes_words:
        options.words = [*options.words, *others]
    return options


def _check_working_directory() -> None:
    """Check that the working directory is there: paths, MPI and Python itself rest on it.

    Raises:
        UserError: it is not.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        msg = "the working directory was deleted; change to one that exists"
        raise UserError(msg) from error


def _parser() -> Parser:
    parser = Parser(
        prog="mpitrain",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mpitrain {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="subcommand", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
