"""The command line: ``python -m mpitrain COMMAND ...``, also installed as ``mpitrain``."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mpitrain import __version__
from mpitrain.config import settings
from mpitrain.config.setting import NONE
from mpitrain.config.text import format_value
from mpitrain.core.errors import FAILED, USER_MISTAKE, MpitrainError, UserError
from mpitrain.launch import launch, train_words
from mpitrain.launch_environment import is_first_rank
from mpitrain.mpiexec import KINDS

INTERRUPTED = 130
_WIDTH = 100

_DESCRIPTION = """\
Data-parallel training over MPI with the consistency you choose.

  python -m mpitrain launch -n 4 train RUN.toml [key=value ...]   finds mpiexec, starts 4 ranks
  mpirun -n 4 python -m mpitrain train RUN.toml [key=value ...]   the same by your own launcher
  python -m mpitrain train RUN.toml [key=value ...]               one rank
  ... resume RUNDIR [key=value ...]                               go on from the last checkpoint
  python -m mpitrain repair RUNDIR                                close the logs of a killed run
  python -m mpitrain bench NAME                                   what things cost here
"""


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """End with the exit code of a user mistake."""
        _say_error(f"{message}; see {self.prog} --help")
        sys.exit(USER_MISTAKE)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Args:
        words: without the program's name; None takes those of this process.
    """
    options = _parser().parse_args(words)
    try:
        return int(options.run(options))
    except UserError as error:
        _say_error(str(error))
        return USER_MISTAKE
    except MpitrainError as error:
        _say_error(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _train(options: argparse.Namespace) -> int:
    _see_own_modules()
    from mpitrain.entry import train_command  # brings NumPy; the launcher needs none

    return train_command(*train_words(options.words))


def _resume(options: argparse.Namespace) -> int:
    _see_own_modules()
    from mpitrain.entry import resume_command  # brings NumPy; the launcher needs none

    words, checkpoint = list(options.words), options.checkpoint
    if "--checkpoint" in words[:-1]:  # also behind RUNDIR
        place = words.index("--checkpoint")
        checkpoint = words[place + 1]
        del words[place : place + 2]
    return resume_command(options.directory, words, checkpoint)


def _repair(options: argparse.Namespace) -> int:
    from mpitrain.storage.repair import repair_run  # brings HDF5
    from mpitrain.storage.run_directory import check_is_run
    from mpitrain.storage.run_lock import RunLock

    root = Path(options.directory)
    check_is_run(root)
    lock = RunLock(root)
    try:
        sys.stderr.writelines(f"mpitrain: {line}\n" for line in repair_run(root))
    finally:
        lock.close()
    return 0


def _see_own_modules() -> None:
    """Let the installed program find modules in the working folder, as -m does."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)


def _bench(options: argparse.Namespace) -> int:
    from mpitrain.bench.command import bench_command  # brings NumPy; the launcher needs none

    return bench_command(options.name)


def _parser() -> _Parser:
    parser = _Parser(
        prog="mpitrain",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mpitrain {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_launch(commands)
    _add_train(commands)
    _add_resume(commands)
    _add_repair(commands)
    _add_bench(commands)
    return parser


def _add_launch(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "launch",
        help="start ranks with the mpiexec that belongs to this Python",
        description="Find mpiexec, set the environment it needs, start COMMAND on every rank.",
        usage="mpitrain launch [-n N] [--mpi KIND] [--dry-run] COMMAND ...",
    )
    command.add_argument(
        "-n", dest="ranks", metavar="N", type=_positive, help="number of ranks; default: the cores"
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
        help="train [RUN.toml] [key=value ...], resume RUNDIR, or a script.py and its arguments",
    )
    command.set_defaults(run=launch)


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "train",
        help="train as a run file says, on the ranks that this process is one of",
        description="Train. Every setting has a default; key=value overrides the run file.",
        usage="mpitrain train [RUN.toml] [table.key=value ...]",
        epilog=_settings_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "words",
        metavar="RUN.toml key=value",
        nargs=argparse.REMAINDER,
        help="the run file and overrides, for example mode.kind=ssp mode.bound=3",
    )
    command.set_defaults(run=_train)


def _add_resume(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "resume",
        help="go on with a run from its newest checkpoint, as a new life",
        description=(
            "Go on with a run that was stopped, killed or is done. The number of ranks may be "
            "another one. key=value changes what the checkpoint does not depend on."
        ),
        usage="mpitrain resume [--checkpoint NAME] RUNDIR [table.key=value ...]",
    )
    command.add_argument(
        "--checkpoint", metavar="NAME", help="go on from this one, for example step-000001200"
    )
    command.add_argument("directory", metavar="RUNDIR", help="the run directory")
    command.add_argument(
        "words", metavar="key=value", nargs=argparse.REMAINDER, help="for example run.steps=9000"
    )
    command.set_defaults(run=_resume)


def _add_repair(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "repair",
        help="make the logs of a killed run readable for every HDF5 tool",
        description=(
            "Rewrite the logs that a killed job left open, with all rows that reached them. "
            "mpitrain's own tools read them as they are."
        ),
    )
    command.add_argument("directory", metavar="RUNDIR", help="the run directory")
    command.set_defaults(run=_repair)


def _add_bench(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "bench",
        help="measure what things cost, beside the least they can cost",
        description="Measure; one JSON line per row. Under launch: launch -n 2 bench window.",
    )
    command.add_argument(
        "name", metavar="NAME", help="checkpoint, log (one process), stop, window (any ranks)"
    )
    command.set_defaults(run=_bench)


def _settings_text() -> str:
    lines = ["settings:"]
    for fact in settings():
        rule = fact.rule
        default = NONE if fact.default is None else format_value(fact.default)
        choices = f" ({', '.join(rule.choices)})" if rule.choices else ""
        unit = f" [{rule.unit}]" if rule.unit else ""
        lines.append(f"  {fact.name} = {default}")
        text = f"{rule.help}{choices}{unit}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        msg = f"must be an integer >= 1, got '{text}'"
        raise argparse.ArgumentTypeError(msg)
    return number


def _say_error(message: str) -> None:
    """Write one line, once over all ranks."""
    if is_first_rank(os.environ):
        sys.stderr.write(f"mpitrain: error: {' '.join(message.split())}\n")
