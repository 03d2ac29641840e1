"""Single int64 words in window memory, each touched by Fetch_and_op and nothing else.

Keeping one family of operations per word is what makes them atomic everywhere: mixing
Fetch_and_op with Accumulate or Put on one word broke atomicity in several MPI releases.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from mpi4py import MPI


class Words:
    """Atomic reads and additions on words of a window that is inside a lock_all epoch."""

    def __init__(self, win: MPI.Win) -> None:
        self._win = win
        self._operand = np.zeros(1, np.int64)
        self._result = np.zeros(1, np.int64)
        self._operand_spec = [self._operand, 1, MPI.INT64_T]
        self._result_spec = [self._result, 1, MPI.INT64_T]

    def fetch_and_add(self, target: int, place: int, delta: int) -> int:
        """Add ``delta`` to the word at byte ``place`` of ``target``; return its value before.

        One atomic round trip; concurrent callers each get a different value when delta != 0.

        Collective: no.
        Source: MPI 4.1, section 12.3.4.
        """
        self._operand[0] = delta
        self._win.Fetch_and_op(self._operand_spec, self._result_spec, target, place, MPI.SUM)
        self._win.Flush(target)
        return int(self._result[0])

    def fetch(self, target: int, place: int) -> int:
        """Return the word at byte ``place`` of ``target``.

        Collective: no.
        """
        self._win.Fetch_and_op(self._operand_spec, self._result_spec, target, place, MPI.NO_OP)
        self._win.Flush(target)
        return int(self._result[0])

    def fetch_many_into(self, target: int, place: int, out: npt.NDArray[np.int64]) -> None:
        """Fetch adjacent words, each atomically, not all at one moment.

        Args:
            target: rank that owns the words.
            place: displacement of the first, bytes.
            out: (number of words,), int64, host, overwritten.

        Collective: no.
        """
        origin = [out, out.size, MPI.INT64_T]  # ignored for NO_OP, but some MPIs look at it
        destination = [place, out.size, MPI.INT64_T]
        self._win.Get_accumulate(origin, origin, target, destination, MPI.NO_OP)
        self._win.Flush(target)
