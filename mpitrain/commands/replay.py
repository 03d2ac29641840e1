"""``replay``: train under the schedule of a recorded run, in one process."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
from mpitrain.launch import resume_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "replay",
        help="train under the schedule of a recorded run, in one process",
        description=(
            "Take every step of a recorded run again, from its logs: the same parameters, bit for "
            "bit; exit code 1 if they differ. key=value makes it an experiment: another optimiser, "
            "rate, staleness factor or compensation under the identical schedule."
        ),
        usage="mpitrain replay RUNDIR [table.key=value ...]",
    )
    command.add_argument(
        "words",
        metavar="RUNDIR key=value",
        nargs="*",
        help="the run directory and changes, for example optimizer.rate=0.05; run.directory=PATH "
        "is the replay's own place",
    )
    command.set_defaults(run=_replay)


def _replay(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import replay_command  # brings NumPy and HDF5

    return replay_command(*resume_words(options.words, "replay"))
