"""Checks of the logs' attributes: each file says what its name says, and all say the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpitrain.analysis.findings import Finding
from mpitrain.core.errors import LogError, UserError
from mpitrain.core.shards import Shards
from mpitrain.storage.life_log import MAX_RANKS
from mpitrain.storage.reading import LifeLog, RankLog
from mpitrain.storage.start import MOST, Start

NUMBERS = (
    "schema",
    "life",
    "rank",
    "size",
    "bound",
    "seed",
    "batch_size",
    "num_samples",
    "shards",
)
STRINGS = ("run_id", "host", "mode", "share", "layout")
SHARED = (
    "run_id",
    "life",
    "size",
    "mode",
    "bound",
    "share",
    "seed",
    "batch_size",
    "num_samples",
    "shards",
    "layout",
)
"""Attributes that are equal in all logs of a life."""


@dataclass(frozen=True)
class Terms:
    """What a life was asked to do, as most of its logs say.

    Attributes:
        size: number of ranks.
        mode: "bsp", "ssp", "asp".
        bound: largest lead at the start of a step; None where there is none.
        share: "equal" or "shared".
        batch_size: samples per mini-batch.
        num_samples: samples in the data set.
        start: where the life went on from.
    """

    size: int
    mode: str
    bound: int | None
    share: str
    batch_size: int
    num_samples: int
    start: Start


def terms_of(life: LifeLog) -> Terms | None:
    """Return the terms of a life, None when its logs do not say them all."""
    said = {name: _most_common(life, name) for name in SHARED}
    if any(not isinstance(said[name], int if name in NUMBERS else str) for name in SHARED):
        return None
    if any(abs(said[name]) > MOST for name in ("bound", "batch_size", "num_samples")):
        return None
    if not 1 <= said["size"] <= MAX_RANKS:
        return None
    bound = said["bound"] if said["mode"] == "ssp" else None
    return Terms(
        said["size"],
        said["mode"],
        bound,
        said["share"],
        max(1, said["batch_size"]),
        max(1, said["num_samples"]),
        life.start,
    )


def needed_terms_of(life: LifeLog) -> Terms:
    """Return the terms of a life.

    Raises:
        LogError: its logs do not say them all.
    """
    terms = terms_of(life)
    if terms is None:
        where = life.ranks[min(life.ranks)].path if life.ranks else f"life {life.life}"
        message = f"{where}: its attributes do not say what the run was; verify names what lacks"
        raise LogError(message)
    return terms


def check_attributes(life: LifeLog) -> list[Finding]:
    """Check each log's attributes against its name, its contents and the other logs."""
    found: list[Finding] = []
    for rank, log in life.ranks.items():
        found += _check_own(life, rank, log)
    for name in SHARED:
        common = _most_common(life, name)
        found += [
            Finding(log.path, None, f"{name} is {value!r}, in most logs of this life {common!r}")
            for log in life.ranks.values()
            if (value := said_of(log, name)) is not None and value != common
        ]
    return found + _check_starts(life)


def _check_starts(life: LifeLog) -> list[Finding]:
    """Check that all logs say the same of the start, and that it is one for so many ranks."""
    common = life.start.facts()
    found = [
        Finding(log.path, None, f"{name} is {value}, in most logs of this life {common[name]}")
        for log in life.ranks.values()
        for name, value in log.start.facts().items()
        if value != common[name]
    ]
    num_clocks = len(life.start.clocks)
    if num_clocks not in (0, life.size):
        what = f"/start/clocks has {num_clocks} clocks, the life has {life.size} ranks"
        found += [Finding(life.ranks[min(life.ranks)].path, None, what)]
    return found


def _check_own(life: LifeLog, rank: int, log: RankLog) -> list[Finding]:
    said = {name: said_of(log, name) for name in (*NUMBERS, *STRINGS)}
    faults = [
        f"attribute {name} is missing or is no {kind.__name__}"
        for names, kind in ((NUMBERS, int), (STRINGS, str))
        for name in names
        if not isinstance(said[name], kind)
    ]
    if said["rank"] not in (None, rank):
        faults.append(f"holds the log of rank {said['rank']}, by its name it is that of {rank}")
    if rank >= life.size:
        faults.append(f"rank {rank} does not exist, the run has {life.size} ranks")
    if said["life"] not in (None, life.life):
        faults.append(f"holds a log of life {said['life']}, by its folder it is of {life.life}")
    if said["shards"] not in (None, len(log.shards)):
        faults.append(f"shards is {said['shards']}, /shards has {len(log.shards)} rows")
    if log.per_shard != all(other.per_shard for other in life.ranks.values()):
        faults.append("has version columns, other logs of this life have none")
    faults += _faults_of_shards(log, life.size)
    return [Finding(log.path, None, fault) for fault in faults]


def _faults_of_shards(log: RankLog, size: int) -> list[str]:
    num_elements = int(log.shards[-1, 1]) if len(log.shards) else 0
    try:
        table = Shards(num_elements, len(log.shards), size).table()
    except UserError as error:
        return [f"/shards is no division into shards: {error}"]
    wrong = np.flatnonzero((log.shards != table).any(axis=1))
    return [
        f"shard {shard} is {log.shards[shard].tolist()} (start, stop, owner), "
        f"of {num_elements} elements it must be {table[shard].tolist()}"
        for shard in wrong[:1]
    ]


def said_of(log: RankLog, name: str) -> int | str | None:
    """Return an attribute that is a number or a text, None where it is neither or missing."""
    value = log.attributes.get(name)
    return value if isinstance(value, int | str) else None


def _most_common(life: LifeLog, name: str) -> Any:
    values = [said_of(log, name) for log in life.ranks.values()]
    return Counter(values).most_common(1)[0][0] if values else None
