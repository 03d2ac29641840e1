"""The newest rows and events of a log that its writer may have open, without reading the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mpitrain.storage.opening import opened
from mpitrain.storage.plain_data import plain_attributes, read_counter, stored_column
from mpitrain.storage.rank_log import check_schema


@dataclass(frozen=True)
class LastRows:
    """The end of a log.

    Attributes:
        size: number of ranks, 0 where the log does not say it.
        num_rows: steps in the log.
        columns: name -> (rows,), the newest.
        kind: of the newest event of the kinds asked for; empty where there is none.
        detail: of that event.
    """

    size: int
    num_rows: int
    columns: dict[str, npt.NDArray[Any]]
    kind: str
    detail: dict[str, Any]


def read_last_rows(
    path: Path, names: Sequence[str], most: int, kinds: Sequence[str] = ()
) -> LastRows:
    """Read the newest rows of a log.

    Args:
        path: of the log; its writer may have it open.
        names: columns of ``/steps``.
        most: rows at most, > 0.
        kinds: of events.

    Raises:
        LogError: it cannot be read.

    Collective: no.
    """
    with opened(path) as file:
        attributes = plain_attributes(path, file)
        check_schema(path, attributes)
        said = attributes.get("size")
        size = said if isinstance(said, int) else 0
        num_rows = read_counter(path, file, "steps/num_rows")
        first = max(0, num_rows - most)
        columns = {
            name: stored_column(path, file, f"steps/{name}", num_rows)[first:num_rows]
            for name in names
        }
        num_events = read_counter(path, file, "events/num_rows")
        noted = stored_column(path, file, "events/kind", num_events)[:num_events].tolist()
        rows = [row for row, kind in enumerate(noted) if kind.decode() in kinds]
        if not rows:
            return LastRows(size, num_rows, columns, "", {})
        detail = json.loads(stored_column(path, file, "events/detail", num_events)[rows[-1]])
        kind = noted[rows[-1]].decode()
        return LastRows(size, num_rows, columns, kind, detail if isinstance(detail, dict) else {})
