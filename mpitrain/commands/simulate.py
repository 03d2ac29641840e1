"""``simulate``: train on simulated ranks, in one process."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
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
        usage="mpitrain simulate [RUN.toml] [table.key=value ...]",
    )
    command.add_argument(
        "words",
        metavar="RUN.toml key=value",
        nargs="*",
        help="the run file and overrides, for example simulate.ranks=16 simulate.delay_ticks=8",
    )
    command.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import simulate_command  # brings NumPy and HDF5

    return simulate_command(*train_words(options.words))
