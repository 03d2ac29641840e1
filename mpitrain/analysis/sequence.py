"""Numbers of which each is given out exactly once over all ranks: versions of a shard, tickets.

Each rank's own numbers increase from row to row. A log that was not closed (its rank still runs, or
was killed) holds the first rows of its rank, so the numbers it lacks are all larger than its last
one. Hence a number that no log has is *possibly in a row that was not written* if some open log's
last number is smaller, and *lost* if every open log has gone past it, or no log is open. A missing
file is an open log without rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

MAX_PLACES = 1000  # of each kind that are told; a doubled file would double every row


@dataclass(frozen=True)
class Place:
    """A row of a rank's log."""

    rank: int
    row: int


@dataclass(frozen=True)
class Sequence:
    """What is wrong with numbers that should be ``first``, ``first + 1``, ... without gap.

    Attributes:
        doubled: number, the row it was found in, another row that has it too.
        lost: first and last number of a gap that cannot be filled, and the row of the next number.
        too_small: number below ``first`` and its row.
        num_complete: length of the longest prefix without a gap.
        num_total: numbers that were found, doubled ones counted once.
    """

    doubled: list[tuple[int, Place, Place]]
    lost: list[tuple[int, int, Place]]
    too_small: list[tuple[int, Place]]
    num_complete: int
    num_total: int


def judge_sequence(numbers: Mapping[int, Numbers], first: int, open_from: int | None) -> Sequence:
    """Check that the numbers of all ranks together are ``first``, ``first + 1``, ... each once.

    Args:
        numbers: by rank, (rows,), int64.
        first: the smallest number.
        open_from: the smallest last number of the open logs; None when all are closed.
    """
    everything = np.concatenate([np.empty(0, np.int64), *numbers.values()])
    total = everything.size
    if _is_permutation(everything, first):
        return Sequence([], [], [], total, total)
    order = np.argsort(everything, kind="stable")
    ordered = everything[order]
    del everything
    ranks, stops = list(numbers), np.cumsum([column.size for column in numbers.values()])

    def place(index: int) -> Place:
        where = int(order[index])
        number = int(np.searchsorted(stops, where, "right"))
        return Place(ranks[number], where - int(stops[number]) + numbers[ranks[number]].size)

    begin = int(np.searchsorted(ordered, first))
    steps = np.diff(ordered)
    too_small = [(int(ordered[i]), place(i)) for i in range(min(begin, MAX_PLACES))]
    doubled = []
    for index in np.flatnonzero(steps == 0).tolist()[:MAX_PLACES]:
        here, there = place(index), place(index + 1)
        doubled += [(int(ordered[index]), here, there), (int(ordered[index]), there, here)]
    gaps = (np.flatnonzero(steps[begin:] > 1) + begin + 1).tolist()
    if begin < total and ordered[begin] > first:
        gaps.insert(0, begin)
    befores = [int(ordered[i - 1]) if i > begin else first - 1 for i in gaps[:MAX_PLACES]]
    lost = [
        (before + 1, int(ordered[i]) - 1, place(i))
        for i, before in zip(gaps, befores, strict=False)
        if open_from is None or ordered[i] <= open_from
    ]
    complete = befores[0] if gaps else int(ordered[-1])
    num_distinct = int(begin < total) + int(np.count_nonzero(steps[begin:]))
    return Sequence(doubled, lost, too_small, complete - first + 1, num_distinct)


def _is_permutation(numbers: Numbers, first: int) -> bool:
    if numbers.size == 0:
        return True
    if numbers.min() != first or numbers.max() != first + numbers.size - 1:
        return False
    is_there = np.zeros(numbers.size, np.bool_)
    is_there[numbers - first] = True
    return bool(is_there.all())
