"""``train``: train as a run file says, on the ranks that this process is one of."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
from mpitrain.commands.settings_text import settings_text
from mpitrain.launch import OR_RESUME, train_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "train",
        help="train as a run file says, on the ranks that this process is one of",
        description="Train. Every setting has a default; key=value overrides the run file.",
        usage="mpitrain train [--or-resume] [RUN.toml] [table.key=value ...]",
        epilog=f"every setting (mpitrain config prints them too):\n\n{settings_text()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        OR_RESUME,
        action="store_true",
        help="go on where run.directory holds a run already; 0 at once where that is done: so the "
        "same line starts and restarts a job",
    )
    command.add_argument(
        "words",
        metavar="RUN.toml key=value",
        nargs="*",
        help="the run file and overrides, for example mode.kind=ssp mode.bound=3",
    )
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import train_command  # brings NumPy; the launcher needs none

    return train_command(*train_words(options.words), or_resume=options.or_resume)
