"""``config``: print every setting, or a run file as it would be run."""

from __future__ import annotations

import argparse
import sys

from mpitrain.commands.parsing import Commands, Parser
from mpitrain.commands.settings_text import settings_text
from mpitrain.config import ignored, load, to_toml
from mpitrain.core.console import tell
from mpitrain.launch import train_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "config",
        help="print every setting, or a run file as it would be run",
        description=(
            "Without words: every setting with default, meaning, choices and unit, as a run file "
            "in which nothing is set. With words: the run file that they resolve to, which train "
            "accepts again; what it gives and does not use is said on standard error."
        ),
        usage="mpitrain config [RUN.toml] [table.key=value ...]",
    )
    command.add_argument("words", metavar="RUN.toml key=value", nargs="*", help="as for train")
    command.set_defaults(run=_config)


def _config(options: argparse.Namespace) -> int:
    if not options.words:
        sys.stdout.write(settings_text() + "\n")
        return 0
    config = load(*train_words(options.words))
    sys.stdout.write(to_toml(config))
    for line in ignored(config):
        tell(f"mpitrain: ignored: {line}\n")
    return 0
