"""Whether the logs together hold every number of a sequence: versions of a shard, tickets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import MAX_PER_CHECK, Finding
from mpitrain.analysis.seen import Seen
from mpitrain.analysis.sequence import Sequence, judge_sequence
from mpitrain.storage.reading import LifeLog, RankLog

Numbers = npt.NDArray[np.int64]


def check_completeness(
    life: LifeLog,
    seen: Seen,
    number: int,
    numbers_of: Callable[[RankLog], Numbers],
    first: int,
    name: str,
    text: Callable[[int], str | None] = str,
) -> tuple[list[Finding], Sequence]:
    """Check that all logs together hold ``first``, ``first + 1``, ... each once.

    Args:
        life: the logs.
        seen: the numbers of all their rows.
        number: of the sequence among those of ``seen``.
        numbers_of: log -> (rows,) numbers; read only where something is wrong.
        first: the smallest number.
        name: what the numbers are, with a place for one: "version {} of shard 2".
        text: how a number is told there; None for one that another check tells.
    """
    open_from = seen.open_from(life, number)
    sequence = seen.judge(number, open_from)
    if sequence is not None:
        return [], sequence
    numbers = {rank: np.ascontiguousarray(numbers_of(log)) for rank, log in life.ranks.items()}
    sequence = judge_sequence(numbers, first, open_from)
    return _findings(life, sequence, first, name, text), sequence


def column_of(log: RankLog, name: str, shard: int | None = None) -> Numbers:
    """Return a column, or what it says of one shard: (rows,), read and not kept in the log."""
    slices = [rows[name] for _, rows in log.slices([name])]
    pieces = [rows if shard is None else rows[:, shard].copy() for rows in slices]
    return np.concatenate([np.empty(0, np.int64), *pieces])


def num_rows_of(life: LifeLog) -> int:
    """Return the rows of all logs of a life."""
    return sum(log.num_rows for log in life.ranks.values())


def is_complete(life: LifeLog) -> bool:
    """Tell whether no row of a life can be lacking: every log is there and was closed."""
    return not life.missing and all(log.is_closed for log in life.ranks.values())


def _findings(
    life: LifeLog, sequence: Sequence, first: int, name: str, text: Callable[[int], str | None]
) -> list[Finding]:
    found: list[Finding] = []
    for number, place in sequence.too_small[:MAX_PER_CHECK]:
        if text(number) is None:
            continue
        what = f"{name.format(number)}: must be >= {first}"
        found.append(Finding(life.ranks[place.rank].path, place.row, what))
    for number, here, there in sequence.doubled[:MAX_PER_CHECK]:
        if text(number) is None:
            continue
        what = (
            f"{name.format(text(number))} occurs twice, also in rank {there.rank} row {there.row}"
        )
        found.append(Finding(life.ranks[here.rank].path, here.row, what))
    for start, stop, place in sequence.lost[:MAX_PER_CHECK]:
        numbers = text(start) if start == stop else f"{text(start)} to {text(stop)}"
        what = f"{name.format(numbers)} is lost: no row has it, and this row has {text(stop + 1)}"
        found.append(Finding(life.ranks[place.rank].path, place.row, what))
    return found
