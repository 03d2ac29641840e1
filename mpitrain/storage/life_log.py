"""The logs of one life of a run, together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mpitrain.core.errors import LogError
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.start import Start

MAX_RANKS = 100_000
MAX_ABSENT = 20  # files that are named one by one
ABSENT = "there is no such file"


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

    @cached_property
    def start(self) -> Start:
        """Where this life went on from, as most of its logs say."""
        starts = [log.start for log in self.ranks.values()]
        said = [str(start.facts()) for start in starts]
        return starts[said.index(Counter(said).most_common(1)[0][0])] if starts else Start()


def read_life(run: RunDirectory, life: int) -> LifeLog:
    """Look at every log of a life.

    Raises:
        LogError: the folder of the life cannot be read.

    Collective: no.
    """
    ranks: dict[int, RankLog] = {}
    missing: list[tuple[Path, str]] = []
    found = ranks_found(run, life)
    for rank in sorted(found):
        path = run.log_path(life, rank)
        try:
            ranks[rank] = RankLog(path)
        except LogError as error:
            missing.append((path, str(error).removeprefix(f"{path}: ")))
    size = _size(ranks) or len(found)
    missing += _absent(run, life, size, found)
    return LifeLog(life, size, ranks, sorted(missing))


def ranks_found(run: RunDirectory, life: int) -> set[int]:
    """Return the ranks that have a file in the folder of a life.

    Raises:
        LogError: the folder cannot be read.

    Collective: no.
    """
    folder = run.life_directory(life)
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        message = f"{folder}: cannot be read: {error.strerror}"
        raise LogError(message) from error
    numbers = [
        int(name[1]) for text in names if (name := re.fullmatch(r"rank-(\d{5,9})\.h5", text))
    ]
    return {rank for rank in numbers if run.log_path(life, rank).name in names}


def _size(ranks: Mapping[int, RankLog]) -> int:
    """Return the number of ranks that most logs say, 0 when none says a possible one."""
    said = [log.attributes.get("size") for log in ranks.values()]
    sizes = [size for size in said if isinstance(size, int) and 0 < size <= MAX_RANKS]
    return Counter(sizes).most_common(1)[0][0] if sizes else 0


def _absent(run: RunDirectory, life: int, size: int, found: set[int]) -> list[tuple[Path, str]]:
    absent = [rank for rank in range(size) if rank not in found]
    named = [(run.log_path(life, rank), ABSENT) for rank in absent[:MAX_ABSENT]]
    if len(absent) > MAX_ABSENT:
        more = f"{ABSENT}, nor one of {len(absent) - MAX_ABSENT - 1} later ranks"
        named.append((run.log_path(life, absent[MAX_ABSENT]), more))
    return named
