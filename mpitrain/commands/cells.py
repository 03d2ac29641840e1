"""``cells``: the cells of a sweep; how they stand, which are missing, what one of them is."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mpitrain.commands.parsing import Commands, Parser

if TYPE_CHECKING:
    from mpitrain.batch.cells import Cell

SWEEP = "MPITRAIN_SWEEP"


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "cells",
        help="the cells of a sweep: how they stand, which are missing",
        description=(
            "List the cells of a sweep, one for each line of key=value words in a file, and how "
            "their runs stand. For job arrays: see jobs/sweep.sbatch."
        ),
    )
    command.add_argument("file", metavar="CELLS.txt", type=Path)
    command.add_argument(
        "--sweep",
        type=Path,
        metavar="FOLDER",
        help=f"of the run directories cell-000 ... (${SWEEP}, else runs/ and the file's name)",
    )
    which = command.add_mutually_exclusive_group()
    which.add_argument(
        "--missing",
        action="store_true",
        help="print the cells that are not done, for sbatch --array=...; exit code 1 without one",
    )
    which.add_argument(
        "--cell", type=int, metavar="I", help="print the words of cell I, one a line"
    )
    command.set_defaults(run=_cells)


def _cells(options: argparse.Namespace) -> int:
    from mpitrain.batch.cells import cell_at, check_same, read_cells  # brings HDF5

    cells = read_cells(options.file)
    sweep: Path = options.sweep or Path(os.environ.get(SWEEP) or f"runs/{options.file.stem}")

    def checked(cell: Cell) -> list[str]:
        words = cell.words()
        check_same(cell, words, sweep)
        return words

    if options.cell is not None:
        cell = cell_at(cells, options.cell, str(options.file))
        words = [*checked(cell), f"run.directory={cell.directory(sweep)}"]
        sys.stdout.write("".join(f"{word}\n" for word in words))
        return 0
    for cell in cells:
        checked(cell)
    return _missing(cells, sweep) if options.missing else _listed(cells, sweep)


def _missing(cells: list[Cell], sweep: Path) -> int:
    from mpitrain.batch.cells import DONE, expression, state_of

    missing = expression(cell.index for cell in cells if state_of(cell, sweep) != DONE)
    if not missing:
        sys.stderr.write(f"mpitrain: all {len(cells)} cells in {sweep} are done\n")
        return 1
    sys.stdout.write(f"{missing}\n")
    return 0


def _listed(cells: list[Cell], sweep: Path) -> int:
    from mpitrain.batch.cells import state_of

    for cell in cells:
        line = f"{cell.directory(sweep)}  {state_of(cell, sweep):<9}  {cell.text}"
        sys.stdout.write(f"{line}\n")
    return 0
