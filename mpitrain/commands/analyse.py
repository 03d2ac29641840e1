"""``analyse``: tools that look at a run's directory, without MPI."""

from __future__ import annotations

import argparse

from mpitrain.analyse.registry import TOOLS, run
from mpitrain.commands.parsing import Commands, Parser


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    listed = "\n".join(f"  {name:<12} {question}" for name, question in TOOLS.items())
    command = commands.add_parser(
        "analyse",
        help="look at a run: no MPI, no GPU",
        description=f"Look at a run, finished, running or killed.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", help="of the tool; NAME --help says more")
    command.add_argument(
        "tool_words", metavar="...", nargs=argparse.REMAINDER, help="RUNDIR and options of the tool"
    )
    command.set_defaults(run=lambda options: run(options.name, options.tool_words))
