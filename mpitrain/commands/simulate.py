"""``simulate``: train on simulated ranks, in one process."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
from mpitrain.core.errors import UserError
from mpitrain.launch import train_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "simulate",
        help="train on simulated ranks, in one process",
        description=(
            "Train as a run file says, on simulate.ranks simulated ranks; the table [simulate] "
            "says what decides who reads what. It becomes an ordinary run directory."
        ),
        usage=(
            "mpitrain simulate [--schedule-only [--out FILE.h5] [--plot FILE]] [RUN.toml] "
            "[table.key=value ...]\n       mpitrain simulate --advise RUNDIR"
        ),
    )
    command.add_argument(
        "--schedule-only",
        action="store_true",
        help="do not train: predict speed, waiting and staleness of the cluster (at most 10,000 "
        "ranks or so)",
    )
    command.add_argument(
        "--out",
        metavar="FILE.h5",
        help="with --schedule-only: keep the schedule, for "
        "simulate.kind=file simulate.path=FILE.h5",
    )
    command.add_argument(
        "--plot",
        metavar="FILE",
        help="with --schedule-only: draw the distributions of staleness "
        "and lead (.png, .svg or .pdf; needs the extra plot)",
    )
    command.add_argument(
        "--advise",
        metavar="RUNDIR",
        help="predict every mode on the ranks of a real run, from what its log says of them",
    )
    command.add_argument(
        "words",
        metavar="RUN.toml key=value",
        nargs="*",
        help="the run file and overrides, for example simulate.ranks=1000 mode.kind=ssp",
    )
    command.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import advise_command, predict_command, simulate_command  # brings NumPy

    if options.advise is not None:
        _refuse(options, ("words", "schedule_only", "out", "plot"), "--advise RUNDIR stands alone")
        return advise_command(options.advise)
    run_file, overrides = train_words(options.words)
    if options.schedule_only:
        return predict_command(run_file, overrides, out=options.out, plot=options.plot)
    _refuse(options, ("out", "plot"), "--out and --plot need --schedule-only")
    return simulate_command(run_file, overrides)


def _refuse(options: argparse.Namespace, names: Sequence[str], message: str) -> None:
    if any(getattr(options, name) for name in names):
        raise UserError(message)
