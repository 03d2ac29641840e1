"""The cells of a sweep: a file with one line of ``key=value`` words for each, and their runs.

Cell 3 is the fourth line that counts, and its run directory is ``SWEEP/cell-003``. A line is read
as a shell would read it, but nothing in it is expanded or executed. A mistake in one line is none
in the others, so that a cell can be asked for alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpitrain.config import changed, from_mapping, parsed, to_mapping
from mpitrain.config.text import read_toml
from mpitrain.core.errors import LogError, UserError, reason
from mpitrain.running.resuming import is_done
from mpitrain.storage.run_directory import RunDirectory

DONE = "done"
DIRECTORY, SEED = "run.directory", "run.seed"
OUTSIDE = ("run", "checkpoint", "log", "device")
"""What these tables say may change from job to job of one run; the seed may not."""


@dataclass(frozen=True)
class Cell:
    """One line.

    Attributes:
        index: of the cell, from 0.
        text: of the line.
        place: file and line, for errors.
    """

    index: int
    text: str
    place: str

    def words(self) -> list[str]:
        """Return the words of the line.

        Raises:
            UserError: they are no ``key=value`` words.
        """
        try:
            words = list(_split(self.text))
            names = [parsed(word)[0] for word in words]
        except UserError as error:
            message = f"{self.place}: {error}"
            raise UserError(message) from error
        except ValueError as error:  # shlex has no other
            message = f"{self.place}: a quote is not closed"
            raise UserError(message) from error
        if DIRECTORY in names:
            message = f"{self.place}: {DIRECTORY} is not for cells; each has its own in the sweep's"
            raise UserError(message)
        return words

    def directory(self, sweep: Path) -> Path:
        """Return the run directory of the cell."""
        return sweep / f"cell-{self.index:03d}"


def cells_of(text: str, name: str) -> list[Cell]:
    """Return the cells that a text holds; blank lines and comments are none.

    Args:
        text: of the file.
        name: of the file, for errors.

    Raises:
        UserError: there is no cell.
    """
    lines = enumerate(text.split("\n"), start=1)
    counting = [(number, line) for number, line in lines if not _is_blank(line)]
    if not counting:
        message = f"{name} holds no cell: it needs a line of key=value words for each"
        raise UserError(message)
    return [
        Cell(index, line.strip(), f"{name}, line {number}")
        for index, (number, line) in enumerate(counting)
    ]


def read_cells(path: Path) -> list[Cell]:
    """Return the cells of a file.

    Raises:
        UserError: it cannot be read, or holds none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {reason(error)}"
        raise UserError(message) from error
    return cells_of(text, str(path))


def cell_at(cells: Sequence[Cell], index: int, name: str) -> Cell:
    """Return a cell.

    Raises:
        UserError: there is none with this index.
    """
    if not 0 <= index < len(cells):
        message = f"{name} has {len(cells)} cells, from 0 on; there is no cell {index}"
        raise UserError(message)
    return cells[index]


def expression(indices: Iterable[int]) -> str:
    """Return indices as ``sbatch --array`` takes them: "3,5-7"."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and index == parts[-1][-1] + 1:
            parts[-1][1:] = [index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)


def state_of(cell: Cell, sweep: Path) -> str:
    """Return how a cell stands: DONE, or what its status says: "stopped", "failed", "running".

    "unknown" where its files contradict each other or cannot be read.
    """
    directory = RunDirectory(cell.directory(sweep))
    if is_done(directory):
        return DONE
    try:
        state = str((directory.read_status() or {}).get("status", "not begun"))
    except LogError:
        return "unknown"
    return "unknown" if state == DONE else state  # without its result


def check_same(cell: Cell, words: Sequence[str], sweep: Path) -> None:
    """Check that the run directory of a cell holds no run with other values than ``words`` say.

    Without this an edited line would be answered with the run of the old one.

    Raises:
        UserError: it does; or it cannot be read.
    """
    directory = RunDirectory(cell.directory(sweep))
    if not directory.run_toml.is_file():
        return
    there = from_mapping(read_toml(directory.run_toml))
    asked = {name: value for name, value in map(parsed, words) if _is_of_the_run(name)}
    old, new = to_mapping(there), to_mapping(changed(there, asked))
    for name in asked:
        table, _, key = name.partition(".")
        if old[table][key] != new[table][key]:
            message = (
                f"{directory.root} holds a run with {name} = {old[table][key]}, but {cell.place} "
                f"says {new[table][key]}; delete it, or give the sweep another directory"
            )
            raise UserError(message)


def _is_of_the_run(name: str) -> bool:
    return name == SEED or name.partition(".")[0] not in OUTSIDE


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _split(line: str) -> Iterator[str]:
    """Yield the words up to a comment, which begins a word, as in a shell."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    for word in lexer:
        if word.startswith("#"):
            return
        yield word
