"""``resume``: go on with a run from a checkpoint, as a new life."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, see_own_modules


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
    command.add_argument("directory", metavar="RUNDIR", help="the run directory")
    words = command.add_argument(
        "words", metavar="key=value", nargs=argparse.REMAINDER, help="for example run.steps=9000"
    )
    words.required = False  # argparse says so of any positional argument
    command.set_defaults(run=_resume)


def _resume(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import resume_command  # brings NumPy; the launcher needs none

    words, checkpoint = list(options.words), options.checkpoint
    if "--checkpoint" in words[:-1]:  # also behind RUNDIR
        place = words.index("--checkpoint")
        checkpoint = words[place + 1]
        del words[place : place + 2]
    return resume_command(options.directory, words, checkpoint)
