"""``train``: train as a run file says, on the ranks that this process is one of."""

from __future__ import annotations

import argparse
import textwrap

from mpitrain.commands.parsing import Commands, Parser, see_own_modules
from mpitrain.config import settings
from mpitrain.config.setting import NONE
from mpitrain.config.text import format_value
from mpitrain.launch import train_words

_WIDTH = 100


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "train",
        help="train as a run file says, on the ranks that this process is one of",
        description="Train. Every setting has a default; key=value overrides the run file.",
        usage="mpitrain train [RUN.toml] [table.key=value ...]",
        epilog=_settings_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "words",
        metavar="RUN.toml key=value",
        nargs=argparse.REMAINDER,
        help="the run file and overrides, for example mode.kind=ssp mode.bound=3",
    )
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.entry import train_command  # brings NumPy; the launcher needs none

    return train_command(*train_words(options.words))


def _settings_text() -> str:
    lines = ["settings:"]
    for fact in settings():
        rule = fact.rule
        default = NONE if fact.default is None else format_value(fact.default)
        choices = f" ({', '.join(rule.choices)})" if rule.choices else ""
        unit = f" [{rule.unit}]" if rule.unit else ""
        lines.append(f"  {fact.name} = {default}")
        text = f"{rule.help}{choices}{unit}"
        lines += textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
