"""Which numbers of some sequences have been seen, at the price of a byte for each number.

The whole of a sequence need not be in memory to see that nothing is wrong with it. Where something
is, :mod:`mpitrain.analysis.sequence` looks at it as a whole and says what and where.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.sequence import Sequence
from mpitrain.storage.reading import LifeLog

Numbers = npt.NDArray[np.int64]

_SLACK = 256


class Seen:
    """The numbers ``first``, ``first + 1``, ... of several sequences, each to be seen once.

    Args:
        first: the smallest number, of each sequence.
        num_sequences: K.
        num_rows: how many numbers of each there are. Those of rows that are not in the logs make it
            larger; more than twice as large is strange.
    """

    def __init__(self, first: int, num_sequences: int, num_rows: int) -> None:
        self._first = first
        self._most = 2 * num_rows + _SLACK
        self._is_there = np.zeros((num_sequences, num_rows), np.bool_)
        self._is_strange = np.zeros(num_sequences, np.bool_)
        self._num = 0
        self._lasts: dict[int, Numbers] = {}
        self._places = np.empty((0, num_sequences), np.int64)

    def add(self, rank: int, numbers: Numbers) -> None:
        """Note numbers of a rank: (rows, K), rows > 0."""
        lows, highs = numbers.min(axis=0), numbers.max(axis=0)
        self._num += len(numbers)
        last = self._lasts.get(rank)
        self._lasts[rank] = highs if last is None else np.maximum(last, highs)
        is_strange = (lows < self._first) | (highs >= self._first + self._most)
        if is_strange.any():
            self._is_strange |= is_strange
            numbers = np.where(is_strange, self._first, numbers)  # these sequences are lost anyway
            highs = np.where(is_strange, self._first, highs)
        self._grow(int(highs.max()) - self._first + 1)
        if len(self._places) < len(numbers):
            self._places = np.empty(numbers.shape, np.int64)
        places = self._places[: len(numbers)]
        num_sequences, room = self._is_there.shape
        np.add(numbers, np.arange(num_sequences) * room - self._first, out=places)
        self._is_there.reshape(-1)[places] = True

    def _grow(self, num: int) -> None:
        num_sequences, room = self._is_there.shape
        if num > room:
            more = np.zeros((num_sequences, min(num + num // 4, self._most)), np.bool_)
            more[:, :room] = self._is_there
            self._is_there = more

    def open_from(self, life: LifeLog, number: int) -> int | None:
        """Return the smallest last number of the logs that may lack rows, None when none may.

        Args:
            life: the logs, by the ranks that numbers were added for.
            number: of the sequence.
        """
        lasts = [
            max(self._first - 1, int(self._lasts[rank][number]))
            if rank in self._lasts
            else self._first - 1
            for rank, log in life.ranks.items()
            if not log.is_closed
        ]
        lasts += [self._first - 1] * len(life.missing)
        return min(lasts, default=None)

    def judge(self, number: int, open_from: int | None) -> Sequence | None:
        """Return what there is of a sequence; None where something is wrong with it."""
        is_there = self._is_there[number]
        if self._is_strange[number] or np.count_nonzero(is_there) != self._num:
            return None
        complete = _first_index(~is_there)
        if complete < self._num:
            after_gap = complete + _first_index(is_there[complete:])
            if open_from is None or self._first + after_gap <= open_from:
                return None
        return Sequence([], [], [], complete, self._num)


def _first_index(is_it: npt.NDArray[np.bool_]) -> int:
    """Return the index of the first true value, the length where there is none."""
    index = int(np.argmax(is_it)) if is_it.size else 0
    return index if is_it.size and is_it[index] else len(is_it)
