"""Whether the logs together hold every number of a sequence: versions of a shard, tickets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.findings import MAX_PER_CHECK, Finding
from mpitrain.analysis.sequence import Sequence, judge_sequence
from mpitrain.storage.reading import LifeLog, RankLog

Numbers = npt.NDArray[np.int64]


def check_completeness(
    life: LifeLog,
    numbers_of: Callable[[RankLog], Numbers],
    first: int,
    name: str,
    text: Callable[[int], str | None] = str,
) -> tuple[list[Finding], Sequence]:
    """Check that all logs together hold ``first``, ``first + 1``, ... each once.

    Args:
        life: the logs.
        numbers_of: log -> (rows,) numbers.
        first: the smallest number.
        name: what the numbers are, with a place for one: "version {} of shard 2".
        text: how a number is told there; None for one that another check tells.
    """
    numbers = {rank: np.ascontiguousarray(numbers_of(log)) for rank, log in life.ranks.items()}
    sequence = judge_sequence(numbers, first, _open_from(life, numbers, first))
    return _findings(life, sequence, first, name, text), sequence


def is_complete(life: LifeLog) -> bool:
    """Tell whether no row of a life can be lacking: every log is there and was closed."""
    return not life.missing and all(log.is_closed for log in life.ranks.values())


def _open_from(life: LifeLog, numbers: dict[int, Numbers], first: int) -> int | None:
    """Return the smallest last number of the logs that may lack rows, None when none may."""
    lasts = [
        int(numbers[rank].max(initial=first - 1))
        for rank, log in life.ranks.items()
        if not log.is_closed
    ]
    lasts += [first - 1] * len(life.missing)
    return min(lasts, default=None)


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
