"""Reading staleness logs back: of running, killed and finished runs.

``open_log(RUNDIR)`` looks at every log file once, checks that it has the shape a log must have, and
keeps its path, attributes and number of rows. Columns are read when they are asked for and cut to
that number, so what a :class:`RankLog` says does not change while the run goes on; open it again to
see more. No file stays open.

A file that is missing or cannot be read does not stop the others from being read: it is listed in
``LifeLog.missing`` with the reason.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import LogError
from mpitrain.storage.opening import opened, read_rows
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.schema import (
    EVENT_COLUMNS,
    SCHEMA,
    SHARD_COLUMNS,
    Column,
    step_columns,
)

Event = tuple[float, str, dict[str, Any]]


def open_log(directory: str | Path, *, log_root: str | Path | None = None) -> RunLog:
    """Open the staleness logs of a run.

    Args:
        directory: the run directory.
        log_root: folder of the logs; default: ``log.directory`` of its run.toml, where the run
            wrote them, else ``directory/log``.

    Raises:
        LogError: there is no log of any life.

    Collective: no.
    """
    root = Path(directory)
    run = RunDirectory(root, _configured_log_root(root) if log_root is None else Path(log_root))
    if not run.root.is_dir():
        message = f"{run.root} is no run directory: there is no such folder"
        raise LogError(message)
    lives = sorted(
        int(found[1])
        for path in (run.log.iterdir() if run.log.is_dir() else ())
        if (found := re.fullmatch(r"life-(\d+)", path.name)) and path.is_dir()
    )
    if not lives:
        message = f"{run.root} holds no staleness log: there is no folder {run.log / 'life-000'}"
        raise LogError(message)
    return RunLog(run, [_read_life(run, life) for life in lives])


def _configured_log_root(root: Path) -> Path | None:
    try:
        with (root / "run.toml").open("rb") as file:
            place = tomllib.load(file).get("log", {}).get("directory")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(place) if isinstance(place, str) else None


@dataclass(frozen=True)
class RunLog:
    """The logs of all lives of a run."""

    directory: RunDirectory
    lives: list[LifeLog]

    def timeline(self, rank: int) -> list[Segment]:
        """Return the rows of ``rank`` that count, life by life.

        Raises:
            LogError: the run has several lives, which this version cannot join, or no such log.
        """
        if len(self.lives) != 1:
            message = f"{self.directory.root} has {len(self.lives)} lives; only one can be joined"
            raise LogError(message)
        log = self.lives[0].ranks.get(rank)
        if log is None:
            message = f"{self.directory.log_path(self.lives[0].life, rank)} is missing"
            raise LogError(message)
        return [Segment(self.lives[0].life, log, log.num_rows)]


@dataclass(frozen=True)
class Segment:
    """The first ``num_rows`` rows of a log: its share of the run's timeline."""

    life: int
    log: RankLog
    num_rows: int


@dataclass(frozen=True)
class LifeLog:
    """The logs of one start of the job.

    Attributes:
        life: 0 for the first start.
        size: number of ranks, as most logs say; the number of files where none can be read.
        ranks: the readable logs, by the rank in the file's name.
        missing: files that are not there or cannot be read, each with the reason.
    """

    life: int
    size: int
    ranks: dict[int, RankLog]
    missing: list[tuple[Path, str]]

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes in the log of the lowest rank; empty when there is none."""
        return self.ranks[min(self.ranks)].attributes if self.ranks else {}


class RankLog:
    """The log of one rank in one life.

    Attributes:
        path: the file.
        attributes: str, int, float or array by name.
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
            self.attributes: dict[str, Any] = {k: _plain(v) for k, v in file.attrs.items()}
            schema = self.attributes.get("schema")
            if not isinstance(schema, int) or schema > SCHEMA:
                raise _fault(path, f"schema is {schema}, this version reads up to {SCHEMA}")
            self.shards: npt.NDArray[np.int64] = _dataset(path, file, "shards")[()]
            if self.shards.shape[1:] != (3,) or not self.shards.size or self.shards.dtype != "<i8":
                raise _fault(path, f"/shards must be (S, 3) int64, found {self.shards.shape}")
            self.is_closed = bool(_read_counter(path, file, "closed"))
            self.per_shard = any(f"steps/{name}" in file for name in SHARD_COLUMNS)
            columns = step_columns(per_shard=self.per_shard)
            self.num_rows = _read_counter(path, file, "steps/num_rows")
            _check_columns(path, file, "steps", columns, self.num_rows, len(self.shards))
            self.num_events = _read_counter(path, file, "events/num_rows")
            _check_columns(path, file, "events", EVENT_COLUMNS, self.num_events, 0)
        self.steps: Mapping[str, npt.NDArray[Any]] = _Steps(path, list(columns), self.num_rows)

    @cached_property
    def events(self) -> list[Event]:
        """What happened, in order: time in seconds, kind, detail."""
        with opened(self.path) as file:
            times, kinds, details = (
                read_rows(file, f"events/{name}", self.num_events).tolist()
                for name in EVENT_COLUMNS
            )
        try:
            return [
                (time_s, kind.decode(), json.loads(detail))
                for time_s, kind, detail in zip(times, kinds, details, strict=True)
            ]
        except ValueError as error:
            raise _fault(self.path, f"an event's detail is not JSON: {error}") from error


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
                self._columns[name] = read_rows(file, f"steps/{name}", self._num_rows)
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read_life(run: RunDirectory, life: int) -> LifeLog:
    ranks: dict[int, RankLog] = {}
    missing: list[tuple[Path, str]] = []
    found = {
        int(name[1])
        for path in run.life_directory(life).iterdir()
        if (name := re.fullmatch(r"rank-(\d+)\.h5", path.name))
    }
    for rank in sorted(found):
        path = run.log_path(life, rank)
        try:
            ranks[rank] = RankLog(path)
        except LogError as error:
            missing.append((path, str(error).removeprefix(f"{path}: ")))
    sizes = Counter(log.attributes.get("size") for log in ranks.values()).most_common(1)
    size = sizes[0][0] if sizes and isinstance(sizes[0][0], int) else len(found)
    missing += [
        (run.log_path(life, rank), "there is no such file")
        for rank in range(size)
        if rank not in found
    ]
    return LifeLog(life, size, ranks, sorted(missing))


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise _fault(path, f"not a staleness log: there is no dataset /{name}")
    return dataset


def _read_counter(path: Path, file: h5py.File, name: str) -> int:
    dataset = _dataset(path, file, name)
    if dataset.shape != () or dataset.dtype.kind != "i" or dataset[()] < 0:
        raise _fault(path, f"/{name} must be a whole number >= 0, found {dataset[()]}")
    return int(dataset[()])


def _check_columns(
    path: Path,
    file: h5py.File,
    group: str,
    columns: Mapping[str, Column],
    num_rows: int,
    num_shards: int,
) -> None:
    for name, column in columns.items():
        dataset = _dataset(path, file, f"{group}/{name}")
        tail = (num_shards,) if name in SHARD_COLUMNS else ()
        if dataset.dtype != column.dtype or dataset.shape[1:] != tail or not dataset.shape:
            wanted = f"(rows{''.join(f', {extent}' for extent in tail)}) {column.dtype}"
            found = f"{dataset.shape} {dataset.dtype}"
            raise _fault(path, f"column /{group}/{name} must be {wanted}, found {found}")
        if dataset.shape[0] < num_rows:
            have = dataset.shape[0]
            raise _fault(path, f"num_rows is {num_rows}, but /{group}/{name} has {have} rows")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _fault(path: Path, what: str) -> LogError:
    return LogError(f"{path}: {what}")
