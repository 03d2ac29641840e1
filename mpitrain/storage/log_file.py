"""The HDF5 side of a staleness log: its creation, blocks of rows, and what becomes visible when.

Everything that has a name exists before single-writer-multiple-reader mode is switched on: groups,
columns, attributes. From then on only three things happen to the file, in this order for each
block: columns grow, rows are written and flushed, ``num_rows`` is written and flushed. A reader
that trusts ``num_rows`` never sees half a row, neither while the writer lives nor after it was
killed.

Columns are written through h5py's low-level calls, at a fifth of the cost of ``column[a:b] = ...``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5s

from mpitrain.storage.schema import EVENT_COLUMNS, SHARD_COLUMNS, Column, step_columns
from mpitrain.storage.start import StartMarks

Attribute = str | int | float | npt.NDArray[Any]

_GROW_ROWS = 4096
_CHUNK_BYTES = 65536
_MAX_CHUNK_ROWS = 1024
_EMPTY_LOG_BYTES = 65536  # three times what a log without rows, shards and attributes takes


class LogFile:
    """One log file open for its only writer.

    Args:
        path: must not exist; a writer never opens an older file.
        attributes: of the root group.
        shards: (S, 3), int64: start, stop, owner.
        per_shard: whether the version columns exist.
        start: the arrays of ``/start``; None leaves them out, as in a first life.

    Raises:
        OSError: the file exists, or cannot be made or written.

    Collective: no; each rank has its own.
    """

    def __init__(
        self,
        path: Path,
        attributes: Mapping[str, Attribute],
        shards: npt.NDArray[np.int64],
        *,
        per_shard: bool,
        start: StartMarks | Mapping[str, npt.NDArray[np.int64]] | None = None,
    ) -> None:
        _check_room(path, _sizes_bytes(attributes, shards, start))
        self._file = h5py.File(path, "w", libver="latest", locking="best-effort")
        try:
            for name, value in attributes.items():
                _set_attribute(self._file, name, value)
            if start is not None:
                _write_start(self._file, start)
            self._make_tables(shards, per_shard=per_shard)
        except Exception as error:
            self.abandon()
            raise OSError(str(error)) from error

    def _make_tables(self, shards: npt.NDArray[np.int64], *, per_shard: bool) -> None:
        self._file.create_dataset("shards", data=shards, dtype="<i8")
        self._closed_mark = self._file.create_dataset("closed", data=np.int8(0))
        self._steps = _Table(self._file, "steps", step_columns(per_shard=per_shard), len(shards))
        self._events = _Table(self._file, "events", EVENT_COLUMNS, len(shards))
        self._file.swmr_mode = True

    def write_steps(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add a block of rows: every column of ``/steps``, C order, the file's dtype.

        Collective: no.
        """
        self._steps.write(self._file, columns)

    def write_events(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add events: every column of ``/events``, C order, the file's dtype.

        Collective: no.
        """
        self._events.write(self._file, columns)

    def close(self, *, is_complete: bool) -> None:
        """Cut the columns to their rows, mark the file closed if it is complete, and close it.

        Collective: no.
        """
        self._steps.trim()
        self._events.trim()
        self._file.flush()
        _write_scalar(self._closed_mark, np.array(int(is_complete), np.int8))
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file after an error, and leave it on disk as a killed writer would.

        HDF5 keeps what it could not write and tries again at each close and at the end of the
        process, where it crashes when it fails again. So what it still holds is sent nowhere.

        Collective: no.
        """
        with contextlib.suppress(Exception), Path(os.devnull).open("r+b") as nowhere:
            os.dup2(nowhere.fileno(), self._file.id.get_vfd_handle())
            self._file.close()


class _Table:
    """A group of columns that grow together, and their ``num_rows``."""

    def __init__(
        self, file: h5py.File, name: str, columns: Mapping[str, Column], num_shards: int
    ) -> None:
        group = file.create_group(name)
        self._columns: dict[str, h5py.Dataset] = {}
        for column, (dtype, fill) in columns.items():
            tail = (num_shards,) if column in SHARD_COLUMNS else ()
            row_bytes = dtype.itemsize * int(np.prod(tail))
            self._columns[column] = group.create_dataset(
                column,
                (0, *tail),
                dtype,
                maxshape=(None, *tail),
                chunks=(chunk_rows(row_bytes), *tail),
                fillvalue=np.array(fill, dtype)[()],
            )
        self._counter = group.create_dataset("num_rows", data=np.int64(0))
        self._num_rows = 0
        self._capacity = 0

    def write(self, file: h5py.File, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add a block of rows; data first, the counter last."""
        num = len(next(iter(columns.values())))
        start, stop = self._num_rows, self._num_rows + num
        if stop > self._capacity:
            self._resize(-(-stop // _GROW_ROWS) * _GROW_ROWS)
        spaces: dict[tuple[int, ...], tuple[h5s.SpaceID, h5s.SpaceID]] = {}
        for name, dataset in self._columns.items():
            values = columns[name]
            tail = values.shape[1:]
            if tail not in spaces:
                target = h5s.create_simple((self._capacity, *tail))
                target.select_hyperslab((start,) + (0,) * len(tail), (num, *tail))
                spaces[tail] = h5s.create_simple((num, *tail)), target
            dataset.id.write(*spaces[tail], values)
        file.flush()
        _write_scalar(self._counter, np.array(stop, np.int64))
        self._num_rows = stop

    def trim(self) -> None:
        """Cut the columns to the rows that were written."""
        self._resize(self._num_rows)

    def _resize(self, num_rows: int) -> None:
        for dataset in self._columns.values():
            dataset.id.set_extent((num_rows, *dataset.shape[1:]))
        self._capacity = num_rows


def chunk_rows(row_bytes: int) -> int:
    """Return the rows of a chunk of a column whose rows have this many bytes."""
    return max(16, min(_MAX_CHUNK_ROWS, _CHUNK_BYTES // row_bytes))


def _check_room(path: Path, num_bytes: int) -> None:
    """Make ``path`` and see that it can grow: HDF5 crashes when its first writes fail."""
    with path.open("xb") as file:
        try:
            file.write(bytes(num_bytes))
            file.truncate(0)
        except OSError:
            path.unlink()
            raise


def _sizes_bytes(
    attributes: Mapping[str, Attribute],
    shards: npt.NDArray[np.int64],
    start: StartMarks | Mapping[str, npt.NDArray[np.int64]] | None,
) -> int:
    marks = start.arrays() if isinstance(start, StartMarks) else start or {}
    arrays = [shards, *marks.values()]
    return _EMPTY_LOG_BYTES + sum(np.asarray(value).nbytes for value in attributes.values()) + sum(
        array.nbytes for array in arrays
    )  # fmt: skip


def _write_scalar(dataset: h5py.Dataset, value: npt.NDArray[Any]) -> None:
    dataset.id.write(h5s.create(h5s.SCALAR), h5s.create(h5s.SCALAR), value)
    dataset.flush()


def _write_start(file: h5py.File, start: StartMarks | Mapping[str, npt.NDArray[np.int64]]) -> None:
    marks = start if isinstance(start, StartMarks) else StartMarks(**start)
    group = file.create_group("start")
    for name, numbers in marks.arrays().items():
        group.create_dataset(name, data=numbers, dtype="<i8")


def _set_attribute(file: h5py.File, name: str, value: Attribute) -> None:
    """Write an attribute; strings with a fixed length, as others are unreadable after a kill."""
    if isinstance(value, str):
        data = value.encode()
        file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", max(1, len(data))))
    else:
        file.attrs[name] = value
