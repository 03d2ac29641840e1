"""What a staleness log holds: its columns, their types and fills, and the check of a row.

A log file has this shape::

    /            attributes of the run and of the rank (numbers, fixed-length strings, arrays)
    /shards      (S, 3) int64: start, stop and owner of each shard of the flat parameter vector
    /closed      scalar int8: 1 when the writer closed the file with every update of this rank in it
    /start/      where the life went on from (:mod:`mpitrain.storage.start`), int64: clocks (P,),
                 cut (P of the life before,), ticket_holes (H,); absent in schema 1
    /steps/      a dataset per name in STEP_COLUMNS, (rows,) or (rows, S); scalar int64 num_rows
    /events/     a dataset per name in EVENT_COLUMNS, (rows,); scalar int64 num_rows

Only the first ``num_rows`` rows of a column count: columns grow ahead of their rows, and a killed
writer leaves them uneven. Rows are flushed before ``num_rows`` says that they are there.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SCHEMA = 2
"""Version of everything in this module; a reader refuses files with a larger one."""


class Column(NamedTuple):
    """Type of a column in the file, and the value that stands for "no row here"."""

    dtype: np.dtype[np.generic]
    fill: int | float | bytes


_I8 = Column(np.dtype("<i8"), -1)
_I4 = Column(np.dtype("<i4"), -1)
_F8 = Column(np.dtype("<f8"), np.nan)
_F4 = Column(np.dtype("<f4"), np.nan)
_U4 = Column(np.dtype("<u4"), 0xFFFFFFFF)

STEP_COLUMNS: dict[str, Column] = {
    "clock": _I8,
    "ticket": _I8,
    "began_s": _F8,
    "wait_s": _F4,
    "read_s": _F4,
    "compute_s": _F4,
    "write_s": _F4,
    "lead": _I4,
    "staleness_mean": _F4,
    "staleness_max": _I4,
    "own_missing": _I4,
    "version_read": _I8,
    "version_written": _I8,
    "loss": _F4,
    "gradient_norm": _F4,
    "update_norm": _F4,
    "rate": _F4,
    "factor": _F4,
    "num_samples": _I4,
    "check": _U4,
}
"""Columns of ``/steps`` in order; ``check`` has the fill 2**32 - 1, which is -1 in 32 bits."""

SHARD_COLUMNS = ("version_read", "version_written")
"""The columns of shape (rows, S); they exist only when ``log.per_shard`` is on."""

EVENT_COLUMNS: dict[str, Column] = {
    "time_s": _F8,
    "kind": Column(np.dtype("S16"), b""),
    "detail": Column(np.dtype("S512"), b""),
}
"""Columns of ``/events``; ``detail`` is a JSON object in UTF-8."""


def step_columns(*, per_shard: bool) -> dict[str, Column]:
    """Return the columns of ``/steps`` that a file has, in order."""
    return {n: c for n, c in STEP_COLUMNS.items() if per_shard or n not in SHARD_COLUMNS}


def row_checks(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Return the column ``check`` for rows given by their keys.

    The check of a row is the CRC-32 (that of zlib, start value 0) of the concatenated
    little-endian int64 values: clock, ticket, then, when versions are recorded,
    version_read[0..S-1] and version_written[0..S-1].

    Args:
        keys: (rows, 2 + 2 S) or (rows, 2), int64, C order: the values above, one row per row.

    Returns:
        (rows,), uint32.
    """
    rows = np.ascontiguousarray(keys, "<i8")
    data = rows.view(f"V{rows.shape[1] * 8}").ravel().tolist()
    return np.fromiter(map(zlib.crc32, data), np.uint32, len(data))
