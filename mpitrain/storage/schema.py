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
from functools import lru_cache
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


def checks_agree(keys: npt.NDArray[np.int64], checks: npt.NDArray[np.uint32]) -> bool:
    """Tell whether all rows have the right check, ten times as fast as by ``row_checks``.

    The CRC-32 of all rows one after another follows from those of the rows, so only it is computed
    from the keys. One wrong row is always found. Several could hide each other with a chance of
    2**-32, as two changes in one row can.

    Args:
        keys: as of ``row_checks``.
        checks: (rows,), uint32: what the rows say.

    Source: M. Adler, zlib, crc32_combine; here the same for many rows at once, as a tree.
    """
    joint = zlib.crc32(np.ascontiguousarray(keys, "<i8").data)
    return joint == _joint_check(checks, keys.shape[1] * 8)


def _joint_check(checks: npt.NDArray[np.uint32], row_bytes: int) -> int:
    """Return the CRC-32 of rows one after another, given that of each: they are equally long."""
    num_levels = max(0, len(checks) - 1).bit_length()
    joint = np.zeros(1 << num_levels, np.uint32)  # before the first row: empty ones have CRC-32 0
    joint[len(joint) - len(checks) :] = checks
    for level in range(num_levels):
        joint = _moved(joint[0::2], _tables(row_bytes, level)) ^ joint[1::2]
    return int(joint[0])


@lru_cache(maxsize=256)
def _tables(row_bytes: int, level: int) -> npt.NDArray[np.uint32]:
    """Return what ``row_bytes * 2**level`` bytes behind a CRC-32 do to it: (4, 256), by its bytes.

    Doing so is linear over bits: the tables of its four bytes together tell all.
    """
    if level:
        half = _tables(row_bytes, level - 1)
        return _moved(half.ravel(), half).reshape(4, 256)
    zeros = bytes(row_bytes)
    nothing = zlib.crc32(zeros)
    moved = [zlib.crc32(zeros, byte << shift) ^ nothing for shift in (0, 8, 16, 24)
             for byte in range(256)]  # fmt: skip
    return np.array(moved, np.uint32).reshape(4, 256)


def _moved(
    checks: npt.NDArray[np.uint32], tables: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    moved: npt.NDArray[np.uint32] = tables[0][checks & 0xFF]
    for byte, shift in enumerate((8, 16, 24), 1):
        moved ^= tables[byte][checks >> shift & 0xFF]
    return moved
