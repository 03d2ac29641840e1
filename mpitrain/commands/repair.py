"""``repair``: make the logs of a killed run readable for every HDF5 tool."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpitrain.commands.parsing import Commands, Parser


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
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
