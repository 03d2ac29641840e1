"""One staleness log, read back: its attributes, its start, its rows and its events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.storage.opening import HDF5_ERRORS, opened, reason_of
from mpitrain.storage.plain_data import (
    fault,
    has_plain,
    plain_attributes,
    plain_dataset,
    read_counter,
    read_rows,
    read_small,
    size_bytes,
    stored_column,
)
from mpitrain.storage.schema import (
    EVENT_COLUMNS,
    SCHEMA,
    SHARD_COLUMNS,
    Column,
    step_columns,
)
from mpitrain.storage.start import START_ARRAYS, Start, start_of

Event = tuple[float, str, dict[str, Any]]

SLICE_ROWS = 65_536
"""Rows that are read together where a log may be too large for memory."""


class RankLog:
    """The log of one rank in one life.

    Attributes:
        path: the file.
        attributes: str, int, float or array by name.
        start: where this life went on from.
        has_start: whether the file says so; otherwise ``start`` is that of a first life.
        num_rows: steps in the log when it was opened.
        num_events: events in the log when it was opened.
        shards: (S, 3), int64: start, stop, owner.
        is_closed: the writer closed the file, and every update of the rank is in it.

    Raises:
        LogError: the file cannot be read or is not a staleness log; names it and what is wrong.

    Collective: no.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as file:
            self.attributes: dict[str, Any] = plain_attributes(path, file)
            check_schema(path, self.attributes)
            self.shards: npt.NDArray[np.int64] = read_small(path, file, "shards", ("S", 3))
            if not self.shards.size:
                raise fault(path, "/shards must be (S, 3) int64 with S >= 1, found no shard")
            self.has_start = self.attributes["schema"] > 1 and has_plain(path, file, "start")
            self.start = _read_start(path, file, self.attributes, has_start=self.has_start)
            self.is_closed = bool(read_counter(path, file, "closed"))
            self.per_shard = any(has_plain(path, file, f"steps/{name}") for name in SHARD_COLUMNS)
            self.num_rows = read_counter(path, file, "steps/num_rows")
            self.num_events = read_counter(path, file, "events/num_rows")
            names = _check_tables(self, file)
        self._stored: set[str] = set()
        self._steps = _Steps(path, names, self.num_rows)
        self.steps: Mapping[str, npt.NDArray[Any]] = self._steps

    def read_all(self) -> None:
        """Read every column and event now, so that nothing that is read later can fail.

        Raises:
            LogError: something cannot be read.
        """
        self._steps.read_all()
        _ = self.events

    def slices(
        self,
        names: Sequence[str],
        num_rows: int | None = None,
        size: int = SLICE_ROWS,
        *,
        start: int = 0,
    ) -> Iterator[tuple[int, dict[str, npt.NDArray[Any]]]]:
        """Yield the first row of each slice and its columns; nothing is kept.

        The file stays open until the last slice was taken or the iterator is closed.

        Args:
            names: columns to read.
            num_rows: how many rows from the first on; None for all that ``num_rows`` counts.
            size: rows of a slice, > 0; the last one may have fewer.
            start: the first row that is read, >= 0.

        Raises:
            LogError: some of the rows are not in the file.
            KeyError: the log has no such column.
        """
        stop = self.num_rows if num_rows is None else min(num_rows, self.num_rows)
        if unknown := set(names) - set(self.steps):
            raise KeyError(*sorted(unknown))
        if start >= stop:
            return
        with opened(self.path) as file:
            columns = {
                name: stored_column(self.path, file, f"steps/{name}", stop) for name in names
            }
            for first in range(start, stop, size):
                last = min(stop, first + size)
                yield first, _rows(self.path, columns, first, last)

    def forget(self) -> None:
        """Let go of the columns in memory; they are read again when they are asked for."""
        self._steps.forget()

    def check_stored(self) -> None:
        """See that every row of every column is in the file, without reading them; read the events.

        Raises:
            LogError: some are not, or an event cannot be read.
        """
        with opened(self.path) as file:
            for name in self.steps:
                self._column(file, name, self.num_rows)
        _ = self.events

    def _column(self, file: h5py.File, name: str, num_rows: int) -> h5py.Dataset:
        """Return a column that has its rows; once all were seen they are not looked for again."""
        if name in self._stored:
            return plain_dataset(self.path, file, f"steps/{name}")
        dataset = stored_column(self.path, file, f"steps/{name}", num_rows)
        if num_rows == self.num_rows:
            self._stored.add(name)
        return dataset

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in order: time in seconds, kind, detail.

        Raises:
            LogError: an event is not in the file, or is no JSON object.
        """
        with opened(self.path) as file:
            times, kinds, details = (
                read_rows(self.path, file, f"events/{name}", self.num_events).tolist()
                for name in EVENT_COLUMNS
            )
        try:
            found = [
                (time_s, kind.decode(), json.loads(detail))
                for time_s, kind, detail in zip(times, kinds, details, strict=True)
            ]
        except (ValueError, RecursionError) as error:
            raise fault(self.path, f"an event's detail is not JSON: {error}") from error
        if any(not isinstance(detail, dict) for _, _, detail in found):
            raise fault(self.path, "an event's detail is not a JSON object")
        return found


class _Steps(Mapping[str, npt.NDArray[Any]]):
    """Columns by name, read when first asked for; treat them as constants."""

    def __init__(self, path: Path, names: list[str], num_rows: int) -> None:
        self._path = path
        self._names = names
        self._num_rows = num_rows
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._columns:
            with opened(self._path) as file:
                rows = read_rows(self._path, file, f"steps/{name}", self._num_rows)
            self._columns[name] = rows
        return self._columns[name]

    def read_all(self) -> None:
        """Read what was not read yet, with one opening of the file."""
        with opened(self._path) as file:
            for name in self._names:
                if name not in self._columns:
                    rows = read_rows(self._path, file, f"steps/{name}", self._num_rows)
                    self._columns[name] = rows

    def __contains__(self, name: object) -> bool:
        return name in self._names  # a mapping's own way would read the column

    def forget(self) -> None:
        """Let go of what was read."""
        self._columns.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _rows(
    path: Path, columns: Mapping[str, h5py.Dataset], first: int, stop: int
) -> dict[str, npt.NDArray[Any]]:
    """Return some rows of some columns.

    Raises:
        LogError: they cannot be read; names the rows of the first chunk that cannot.
    """
    try:
        return {name: column[first:stop] for name, column in columns.items()}
    except HDF5_ERRORS:
        for name, column in columns.items():
            _check_chunks(path, name, column, first, stop)
        raise  # it can be read one by one: the disk is no longer what it was


def _check_chunks(path: Path, name: str, column: h5py.Dataset, first: int, stop: int) -> None:
    size = column.chunks[0]
    for chunk in range(first - first % size, stop, size):
        start, end = max(chunk, first), min(chunk + size, stop)
        try:
            column[start:end]
        except HDF5_ERRORS as error:
            what = f"{name} of rows {start} to {end - 1} cannot be read: {reason_of(error)}"
            raise fault(path, what) from error


def check_schema(path: Path, attributes: Mapping[str, Any]) -> None:
    """Check that this version knows what the log holds.

    Raises:
        LogError: it does not.

    Collective: no.
    """
    schema = attributes.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise fault(path, f"schema is {schema}, this version reads up to {SCHEMA}")


def _read_start(
    path: Path, file: h5py.File, attributes: Mapping[str, Any], *, has_start: bool
) -> Start:
    arrays = None
    if has_start:
        arrays = {name: read_small(path, file, f"start/{name}", ("N",)) for name in START_ARRAYS}
    try:
        return start_of(attributes, arrays)
    except UserError as error:
        raise fault(path, str(error)) from error


def _check_tables(log: RankLog, file: h5py.File) -> list[str]:
    """Check both tables' columns and return the names of those of the steps.

    Together the rows must fit into the file, so that no reading takes more memory than that.
    """
    columns = step_columns(per_shard=log.per_shard)
    num_bytes = sum(
        _check_column(log, file, f"{group}/{name}", column, num_rows)
        for group, columns_of, num_rows in (
            ("steps", columns, log.num_rows),
            ("events", EVENT_COLUMNS, log.num_events),
        )
        for name, column in columns_of.items()
    )
    if num_bytes > (size := size_bytes(file)):
        raise fault(log.path, f"cannot be read: its rows have {num_bytes} bytes, the file {size}")
    return list(columns)


def _check_column(log: RankLog, file: h5py.File, name: str, column: Column, num_rows: int) -> int:
    """Check the shape of a column and return the bytes of its rows."""
    dataset = plain_dataset(log.path, file, name)
    tail = (len(log.shards),) if name.removeprefix("steps/") in SHARD_COLUMNS else ()
    if dataset.dtype != column.dtype or dataset.shape[1:] != tail or not dataset.shape:
        wanted = f"(rows{''.join(f', {extent}' for extent in tail)}) {column.dtype}"
        found = f"{dataset.shape} {dataset.dtype}"
        raise fault(log.path, f"column /{name} must be {wanted}, found {found}")
    if dataset.shape[0] < num_rows:
        have = dataset.shape[0]
        raise fault(log.path, f"num_rows is {num_rows}, but /{name} has {have} rows")
    return num_rows * column.dtype.itemsize * (tail[0] if tail else 1)
