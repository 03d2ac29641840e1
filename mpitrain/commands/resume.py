"""``resume``: go on with a run from a checkpoint, as a new life."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
from mpitrain.launch import resume_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
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
    command.add_argument(
        "words",
        metavar="RUNDIR key=value",
        nargs="*",
        help="the run directory and overrides, for example run.steps=9000",
    )
    command.set_defaults(run=_resume)


def _resume(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import resume_command  # brings NumPy; the launcher needs none

    return resume_command(*resume_words(options.words), options.checkpoint)
