"""How large a staleness log becomes, before it is written."""

from __future__ import annotations

from collections.abc import Mapping

from mpitrain.storage.log_file import chunk_rows
from mpitrain.storage.schema import EVENT_COLUMNS, SHARD_COLUMNS, Column, step_columns

EVENT_BYTES = sum(column.dtype.itemsize for column in EVENT_COLUMNS.values())
HEAD_BYTES = 24 << 10  # attributes, groups, indices of chunks; the rest of a large log is rows


def row_bytes(num_shards: int, *, per_shard: bool) -> int:
    """Return the bytes of one step's row in a log of ``num_shards`` shards."""
    return sum(_widths(step_columns(per_shard=per_shard), num_shards))


def file_bytes(num_rows: int, num_shards: int, *, per_shard: bool, num_events: int = 1) -> int:
    """Return about how many bytes the log of one rank takes.

    Args:
        num_rows: steps of the rank.
        num_shards: S.
        per_shard: whether versions are logged per shard.
        num_events: what happened to the rank; a log that was closed well has one at least.
    """
    steps = _widths(step_columns(per_shard=per_shard), num_shards)
    events = _widths(EVENT_COLUMNS, num_shards)
    return HEAD_BYTES + _table_bytes(steps, num_rows) + _table_bytes(events, num_events)


def _widths(columns: Mapping[str, Column], num_shards: int) -> list[int]:
    """Return the bytes of a row in each column."""
    return [
        column.dtype.itemsize * (num_shards if name in SHARD_COLUMNS else 1)
        for name, column in columns.items()
    ]


def _table_bytes(widths: list[int], num_rows: int) -> int:
    """Return the bytes of a table: a chunk that was begun takes its whole room."""
    chunks = [(width, chunk_rows(width)) for width in widths]
    return sum(-(-num_rows // rows) * rows * width for width, rows in chunks)
