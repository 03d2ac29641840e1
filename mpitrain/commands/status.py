"""``status``: how a run and its Slurm jobs stand."""

from __future__ import annotations

import argparse
from pathlib import Path

from mpitrain.commands.parsing import Commands, Parser


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "status",
        help="how a run and its Slurm jobs stand, and whether the two agree",
        description=(
            "Tell how a run stands (its state, steps and newest checkpoint), how its jobs stand "
            "(waiting for what, running where and for how long) and what went before. A folder of "
            "run directories gives one line for each. Needs neither Slurm nor MPI."
        ),
    )
    command.add_argument("directory", type=Path, metavar="RUNDIR", help="the run directory")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=_status)


def _status(options: argparse.Namespace) -> int:
    from mpitrain.batch.status import status  # brings HDF5

    return status(options.directory, as_json=options.json)
