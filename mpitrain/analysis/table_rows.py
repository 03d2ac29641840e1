"""The timeline as tables for other programs: slices of columns, one row per step.

``life`` and ``rank`` come first, then the columns of the log in their order. In the long form a row
is a step and a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.readable import Opened
from mpitrain.analysis.scan import slice_rows
from mpitrain.storage.reading import Segment
from mpitrain.storage.schema import SHARD_COLUMNS, STEP_COLUMNS

Columns = dict[str, npt.NDArray[Any]]

KEYS: dict[str, np.dtype[Any]] = {"life": np.dtype("<i4"), "rank": np.dtype("<i4")}
LONG_KEYS = KEYS | {"clock": np.dtype("<i8"), "shard": np.dtype("<i4")}
SHARDS = ("list", "long", "none")
SLICE_ROWS = 16_384


def column_types(shards: str, *, per_shard: bool) -> dict[str, np.dtype[Any]]:
    """Return the columns of a table and the type of their elements.

    Args:
        shards: "list": the version columns have an array per row; "long": only they, with a row
            per step and shard; "none": without them.
        per_shard: whether any log has version columns.
    """
    versions: dict[str, np.dtype[Any]] = {name: STEP_COLUMNS[name].dtype for name in SHARD_COLUMNS}
    if shards == "long":
        return LONG_KEYS | versions
    kept = SHARD_COLUMNS if shards == "list" and per_shard else ()
    return KEYS | {
        name: column.dtype
        for name, column in STEP_COLUMNS.items()
        if name not in SHARD_COLUMNS or name in kept
    }


def table_slices(run: Opened, names: Sequence[str], shards: str) -> Iterator[Columns]:
    """Yield slices of the table, life by life, rank by rank, in order of the clock.

    Args:
        run: the timeline.
        names: columns, of ``column_types``.
        shards: as there.

    Yields:
        name -> (rows,), or (rows, S) for the version columns as lists; a column that a log lacks
        is left out.
    """
    for part in run.segments():
        yield from _long(part) if shards == "long" else _wide(part, names)


def _wide(part: Segment, names: Sequence[str]) -> Iterator[Columns]:
    stored = {"clock", *names} & set(part.log.steps)
    for _, columns in part.log.slices(
        sorted(stored), part.num_rows, slice_rows(part.log, SLICE_ROWS)
    ):
        yield {**_keys(part, len(columns["clock"])), **columns}


def _long(part: Segment) -> Iterator[Columns]:
    if not part.log.per_shard:
        return
    num_shards = len(part.log.shards)
    names = ["clock", *SHARD_COLUMNS]
    for _, columns in part.log.slices(names, part.num_rows, slice_rows(part.log, SLICE_ROWS)):
        num_rows = len(columns["clock"])
        yield {
            **_keys(part, num_rows * num_shards),
            "clock": np.repeat(columns["clock"], num_shards),
            "shard": np.tile(np.arange(num_shards, dtype="<i4"), num_rows),
            **{name: columns[name].reshape(-1) for name in SHARD_COLUMNS},
        }


def _keys(part: Segment, num_rows: int) -> Columns:
    values = {"life": part.life, "rank": part.rank}
    return {name: np.full(num_rows, values[name], dtype) for name, dtype in KEYS.items()}
