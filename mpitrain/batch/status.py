"""``status``: look at a run or a folder of runs, and say how it stands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpitrain.analyse.tables import table
from mpitrain.analyse.tool import console
from mpitrain.batch.ledger import Entry
from mpitrain.batch.standing import Standing, runs_below, standing_of
from mpitrain.batch.standing_text import COLUMNS, aligned, lines_of, one_line, rows_of
from mpitrain.core.errors import LogError, UserError
from mpitrain.storage.run_directory import json_line


def status(root: Path, *, as_json: bool) -> int:
    """Say how a run stands, or each of several in a folder.

    Raises:
        UserError: there is no run, or its files make no sense.
    """
    try:
        several = runs_below(root)
        if several:
            return _say_several(several, as_json=as_json)
        standing = standing_of(root)
        if as_json:
            _say([json_line(standing.facts())])
        else:
            _show(standing)
    except LogError as error:
        raise UserError(str(error)) from error
    except BrokenPipeError:  # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say_several(places: Sequence[Path], *, as_json: bool) -> int:
    found = [_line_of(place) for place in places]
    if as_json:
        _say([json_line({"runs": [facts for facts, _ in found]})])
    else:
        _say([line for _, line in found])
    return 0


def _line_of(root: Path) -> tuple[dict[str, Any], str]:
    """Return how one of several runs stands, as a JSON object and in one line of text."""
    try:
        standing = standing_of(root)
    except (LogError, UserError) as error:
        return {"directory": str(root), "error": str(error)}, f"{root.name}: {error}"
    return standing.facts(), one_line(standing, root.name)


def _show(standing: Standing) -> None:
    _say(lines_of(standing))
    if standing.chain:
        _show_chain(standing.chain)
    _say([f"note: {remark}" for remark in standing.remarks])


def _show_chain(chain: Sequence[Entry]) -> None:
    rows = rows_of(chain)
    try:
        out = console()
    except UserError:  # without rich, plain text
        _say(["", *aligned(COLUMNS, rows), ""])
    else:
        out.print(table(COLUMNS, rows, texts=len(COLUMNS)))


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
