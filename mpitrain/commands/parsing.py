"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from mpitrain.core.errors import USER_MISTAKE
from mpitrain.launch_environment import is_first_rank


class Parser(argparse.ArgumentParser):
    """Says a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """End with the exit code of a user mistake."""
        say_error(f"{message}; see {self.prog} --help")
        sys.exit(USER_MISTAKE)


Commands = argparse._SubParsersAction


def positive(text: str) -> int:
    """Return an integer >= 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        msg = f"must be an integer >= 1, got '{text}'"
        raise argparse.ArgumentTypeError(msg)
    return number


def say_error(message: str) -> None:
    """Write one line, once over all ranks."""
    if is_first_rank(os.environ):
        sys.stderr.write(f"mpitrain: error: {' '.join(message.split())}\n")


def see_own_modules() -> None:
    """Let the installed program find modules in the working folder, as -m does."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
