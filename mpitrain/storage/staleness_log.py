"""The writer of a staleness log: rows are taken in a microsecond and reach the file in blocks.

Who does what: the training thread packs a row into memory; one daemon thread turns blocks of rows
into columns, computes their checks and writes them. Two blocks are swapped under a lock, so that
memory is bounded: when the thread still writes one block and the other is full, ``append`` waits.

What is guaranteed: a row that ``flush`` or ``close`` returned for is in the file; rows reach the
file in the order of ``append``; after a kill the file holds a prefix of them, at most about
``flush_every_s`` short. What is not: an operating system that dies may lose more, as nothing is
fsynced while training runs.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import ClosedError, LogError, reason
from mpitrain.storage.durable import sync_file
from mpitrain.storage.log_file import Attribute, LogFile
from mpitrain.storage.run_directory import json_line
from mpitrain.storage.schema import EVENT_COLUMNS, SCHEMA, SHARD_COLUMNS, STEP_COLUMNS, row_checks
from mpitrain.storage.start import StartMarks

Versions = npt.NDArray[np.int64]

_SCALARS = [name for name in STEP_COLUMNS if name not in (*SHARD_COLUMNS, "check")]
_PACKED = "<" + "".join("d" if STEP_COLUMNS[n].dtype.kind == "f" else "q" for n in _SCALARS)
_ROW = struct.Struct(_PACKED)


class LogWriter:
    """The staleness log of one rank in one life.

    Args:
        path: file to make; must not exist, its folder must.
        attributes: of the run and the rank; ``schema`` is added.
        shards: (S, 3), int64: start, stop, owner.
        per_shard: whether to keep the versions of each shard (needed for replay and most checks).
        flush_every_s: rows reach the file at least this often, in seconds, > 0.
        start: the arrays of ``/start``, when the life goes on from a checkpoint; their numbers
            (``START_NUMBERS``) are among ``attributes``.
        block_rows: rows that are held in memory, twice.

    Raises:
        LogError: the file cannot be made.

    Collective: no; each rank has its own.
    """

    def __init__(
        self,
        path: Path,
        *,
        attributes: Mapping[str, Attribute],
        shards: npt.NDArray[np.int64],
        per_shard: bool,
        flush_every_s: float,
        start: StartMarks | Mapping[str, Versions] | None = None,
        block_rows: int = 4096,
    ) -> None:
        self.path = Path(path)
        try:
            attributes = {"schema": SCHEMA, **attributes}
            self._file = LogFile(self.path, attributes, shards, per_shard=per_shard, start=start)
        except OSError as error:
            raise self._log_error(error, "make") from error
        num_shards = len(shards) if per_shard else 0
        self._per_shard = per_shard
        self._flush_every_s = flush_every_s
        self._block_rows = block_rows
        self._block = _Block(block_rows, num_shards)
        self._spare = _Block(block_rows, num_shards)
        self._free = block_rows  # rows left in the block; 0 also once closed or failed
        self._num_handed = 0
        self._events: list[tuple[float, bytes, bytes]] = []
        self._asked = self._done = 0  # flushes
        self._is_closed = False
        self._is_complete = False
        self._error: Exception | None = None
        self._is_error_told = False
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="staleness-log", daemon=True)
        self._thread.start()

    @property
    def num_rows(self) -> int:
        """Rows appended so far, in the file or not yet."""
        with self._lock:
            return self._num_handed + self._block.num_rows

    def append(
        self,
        clock: int,
        ticket: int,
        began_s: float,
        wait_s: float,
        read_s: float,
        compute_s: float,
        write_s: float,
        lead: int,
        staleness_mean: float,
        staleness_max: int,
        own_missing: int,
        loss: float,
        gradient_norm: float,
        update_norm: float,
        rate: float,
        factor: float,
        num_samples: int,
        version_read: Versions,
        version_written: Versions,
    ) -> None:
        """Add the row of one step: a number per column of ``STEP_COLUMNS``, in that order.

        ``version_read`` and ``version_written``: (S,), int64, host, copied; ignored when versions
        are not kept.

        Raises:
            ClosedError: the log was closed.
            LogError: an earlier block could not be written; names the file.

        Collective: no.
        """
        with self._lock:
            if not self._free:
                self._wait_for_room()
            block = self._block
            row = block.num_rows
            _ROW.pack_into(
                block.packed, row * _ROW.size,
                clock, ticket, began_s, wait_s, read_s, compute_s, write_s, lead,
                staleness_mean, staleness_max, own_missing,
                loss, gradient_norm, update_norm, rate, factor, num_samples,
            )  # fmt: skip
            if self._per_shard:
                block.version_read[row] = version_read
                block.version_written[row] = version_written
            block.num_rows = row + 1
            self._free -= 1
            if not self._free:
                self._wake.notify_all()

    def event(self, time_s: float, kind: str, detail: Mapping[str, Any]) -> None:
        """Note that something happened at ``time_s`` (seconds since the run's common zero).

        Args:
            time_s: as ``began_s``.
            kind: at most 16 bytes.
            detail: JSON-able; where it is longer than its column, its longest values become null
                and the key ``cut`` lists their names.

        Raises:
            ValueError: ``kind`` is too long.
            ClosedError: the log was closed.
            LogError: an earlier block could not be written.

        Collective: no.
        """
        name = kind.encode()
        if len(name) > EVENT_COLUMNS["kind"].dtype.itemsize:
            message = f"kind must have at most 16 bytes, got {kind!r}"
            raise ValueError(message)
        row = (time_s, name, _fitting_json(detail, EVENT_COLUMNS["detail"].dtype.itemsize))
        with self._lock:
            self._raise_if_unusable()
            self._events.append(row)

    def flush(self) -> None:
        """Return when everything appended so far is in the file, on disk or not.

        Raises:
            ClosedError: the log was closed.
            LogError: a block could not be written.

        Collective: no.
        """
        with self._lock:
            self._raise_if_unusable()
            self._asked += 1
            mine = self._asked
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._done >= mine or self._error is not None)
            self._raise_if_unusable()

    def sync(self) -> None:
        """Return when everything appended so far is on disk.

        Raises:
            ClosedError: the log was closed.
            LogError: it cannot be written, or is gone.

        Collective: no.
        """
        self.flush()
        try:
            sync_file(self.path)
        except OSError as error:
            raise self._log_error(OSError(reason(error)), "write") from error

    def close(self, *, is_complete: bool = True) -> None:
        """Write what is left and close the file; closing again does nothing.

        Args:
            is_complete: every update of this rank has its row. Pass False when the rank stops on an
                error, perhaps inside an update: the file is then read like that of a killed rank.

        Raises:
            LogError: rows could not be written, and no earlier call said so.

        Collective: no.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._is_complete = is_complete
            self._free = 0
            self._wake.notify_all()
        self._thread.join()
        if self._error is not None and not self._is_error_told:
            raise self._told_error() from self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(is_complete=kind is None)

    def _wait_for_room(self) -> None:
        self._raise_if_unusable()
        self._wake.wait_for(lambda: self._free or self._is_closed or self._error is not None)
        self._raise_if_unusable()

    def _raise_if_unusable(self) -> None:
        if self._is_closed:
            message = f"the staleness log {self.path} is already closed"
            raise ClosedError(message)
        if self._error is not None:
            raise self._told_error() from self._error

    def _told_error(self) -> LogError:
        self._is_error_told = True
        return self._log_error(self._error, "write")

    def _log_error(self, error: Exception | None, verb: str) -> LogError:
        why = "" if error is None else reason(error)
        return LogError(f"cannot {verb} the staleness log {self.path}: {why}")

    def _run(self) -> None:
        """Write blocks until the log is closed; the body of the thread."""
        try:
            while self._write_next():
                pass
        except Exception as error:  # told by the next call of the training thread
            with self._lock:
                self._error = error
                self._free = 0
                self._wake.notify_all()
            self._file.abandon()

    def _write_next(self) -> bool:
        with self._lock:
            self._wake.wait_for(
                lambda: self._is_closed or not self._free or self._asked > self._done,
                timeout=self._flush_every_s,
            )
            block, self._block = self._block, self._spare
            self._num_handed += block.num_rows
            self._free = 0 if self._is_closed else self._block_rows
            events, self._events = self._events, []
            asked, is_last = self._asked, self._is_closed
            self._wake.notify_all()
        if block.num_rows:
            self._file.write_steps(block.columns())
        if events:
            self._file.write_events(_event_columns(events))
        block.num_rows = 0
        self._spare = block
        if is_last:
            self._file.close(is_complete=self._is_complete)
        with self._lock:
            self._done = asked
            self._wake.notify_all()
        return not is_last


class _Block:
    """Memory for rows that are not in the file yet."""

    def __init__(self, num_rows: int, num_shards: int) -> None:
        self.num_rows = 0
        self.packed = bytearray(num_rows * _ROW.size)
        self._ints = np.frombuffer(self.packed, "<i8").reshape(num_rows, len(_SCALARS))
        self._floats = np.frombuffer(self.packed, "<f8").reshape(num_rows, len(_SCALARS))
        self._keys = np.zeros((num_rows, 2 + 2 * num_shards), "<i8")
        self.version_read = self._keys[:, 2 : 2 + num_shards]
        self.version_written = self._keys[:, 2 + num_shards :]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the rows as the columns of the file; called by the writing thread."""
        num = self.num_rows
        columns: dict[str, npt.NDArray[Any]] = {}
        with np.errstate(over="ignore"):  # a diverging run has norms beyond float32: inf says so
            for index, name in enumerate(_SCALARS):
                dtype = STEP_COLUMNS[name].dtype
                source = self._floats if dtype.kind == "f" else self._ints
                columns[name] = source[:num, index].astype(dtype)
        keys = self._keys[:num]
        keys[:, 0] = columns["clock"]
        keys[:, 1] = columns["ticket"]
        columns["check"] = row_checks(keys)
        if keys.shape[1] > 2:
            columns["version_read"] = np.ascontiguousarray(self.version_read[:num])
            columns["version_written"] = np.ascontiguousarray(self.version_written[:num])
        return columns


def _event_columns(events: list[tuple[float, bytes, bytes]]) -> dict[str, npt.NDArray[Any]]:
    return {
        name: np.array([event[index] for event in events], column.dtype)
        for index, (name, column) in enumerate(EVENT_COLUMNS.items())
    }


def _fitting_json(detail: Mapping[str, Any], limit_bytes: int) -> bytes:
    """Return ``detail`` as JSON of at most ``limit_bytes``, giving up its longest values first."""
    kept: dict[str, Any] = dict(detail)
    cut: list[str] = []
    by_length = sorted(kept, key=lambda key: len(json_line(kept[key])))
    while len(data := json_line(kept).encode()) > limit_bytes:
        if not by_length:
            return b'{"cut": ["everything"]}'
        cut.append(by_length.pop())
        kept |= {cut[-1]: None, "cut": cut}
    return data
