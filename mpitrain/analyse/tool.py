"""What the tools share: their command line, their errors, and how they speak.

A tool answers with facts, which ``--json`` prints as one object, and a way to show them to people.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from mpitrain.analyse.output import check_library
from mpitrain.core.errors import FAILED, USER_MISTAKE, LogError, MpitrainError, UserError, reason

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
TABLE_WIDTH = 120
"""Columns a table may take. A narrower terminal breaks its lines; rich would drop whole columns."""


@dataclass(frozen=True)
class Answer:
    """What a tool found.

    Attributes:
        facts: for programs: text, numbers, lists and objects; NaN and infinity become null.
        show: writes them for people, tables through ``console``.
        exit_code: of the tool; not 0 where the question was "is it so?" and the answer is no.
        missing: pieces of logs that the answer lacks; with one of them it is a mistake to take it
            for the whole run's, and exit code 2 says so.
    """

    facts: dict[str, Any]
    show: Callable[[], None]
    exit_code: int = 0
    missing: Sequence[str] = ()


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: on the command line.
        question: what it answers, one line for ``--help``.
        add_arguments: adds what it takes, beside ``--json``.
        run: answers; what is wrong with a run's files is a LogError, with an argument a UserError.
    """

    name: str
    question: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Answer]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say_error(f"{message}; see {self.prog} --help")
        sys.exit(USER_MISTAKE)


def main(tool: Tool, words: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run a tool and return its exit code: 2, with one line, for a mistake or a lack of logs.

    Args:
        tool: to run.
        words: of the command line; None takes those of this process.
        prog: how the tool was called; None takes it from this process.
    """
    columns = shutil.get_terminal_size().columns - 2  # as argparse wraps, where it may
    parser = _Parser(prog=prog, description=textwrap.fill(tool.question, columns))
    tool.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(words)
    try:
        answer = tool.run(options)
        _print(answer, is_json=options.json)
    except (LogError, UserError) as error:
        _say_error(str(error))
        return USER_MISTAKE
    except MpitrainError as error:
        _say_error(str(error))
        return FAILED
    except BrokenPipeError:  # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _say_error(f"{error.filename or 'the output'}: {reason(error)}")
        return USER_MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    if answer.missing:
        first, *others = answer.missing
        more = f" (and {len(others)} more)" if others else ""
        _say_error(f"the log is incomplete: {first}{more}")
        return USER_MISTAKE
    return answer.exit_code


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NumPy's numbers and arrays as Python's, no NaN."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _print(answer: Answer, *, is_json: bool) -> None:
    if is_json:
        print(json.dumps(plain(answer.facts), allow_nan=False))  # noqa: T201  # its answer
    else:
        answer.show()
    sys.stdout.flush()


def console(*, is_live: bool = False) -> Console:
    """Return where tools speak: colours on a terminal only, and no column is ever cut.

    Args:
        is_live: what is shown is drawn over again, so lines are cut at the terminal's width.

    Raises:
        UserError: the library for tables is not installed.
    """
    check_library("rich", "without --json a tool")
    from rich.console import Console

    class Out(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with 1
            raise BrokenPipeError

    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    width = None if is_live else max(columns, TABLE_WIDTH)
    return Out(highlight=False, soft_wrap=not is_live, width=width)


def _say_error(message: str) -> None:
    sys.stderr.write(f"mpitrain: error: {' '.join(message.split())}\n")
