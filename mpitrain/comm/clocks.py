"""The board on rank 0: a ticket counter, calls to meet and every rank's clock, in int64 words.

A clock moves only after all its rank's updates are flushed, so whoever reads a clock c may rely
on finding the updates of the steps before c. A rank that has no work left adds FINISHED to its
clock: it leaves the minimum, and its number of steps stays readable. Every access is one atomic
operation of the accumulate family; clocks never go back.

Any rank may call for a meeting by adding to the calls. Everybody sees it at its next step boundary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.comm.window_layout import WORD_BYTES
from mpitrain.comm.words import Words

FINISHED = 1 << 62
BOARD_RANK = 0
TICKETS = 0  # displacement of the ticket counter; the calls and the clocks follow it
CALLS = WORD_BYTES
BOARD_HEAD = 2  # words before the clocks


class Board:
    """Ticket counter and clocks, inside the parameter window's access epoch.

    Attributes:
        clocks: (P,) int64, steps finished by each rank, as of the last ``refresh``.
        is_finished: (P,) bool, which ranks had no work left then.
        tickets_drawn: value of the ticket counter then; it may exceed the number of tickets.
        calls: calls for a meeting until then.
        has_moved: whether the last ``refresh`` saw anything new.
    """

    def __init__(self, words: Words, rank: int, size: int) -> None:
        self.clocks = np.zeros(size, np.int64)
        self.is_finished = np.zeros(size, np.bool_)
        self.tickets_drawn = 0
        self.calls = 0
        self.has_moved = False
        self._words = words
        self._own = (BOARD_HEAD + rank) * WORD_BYTES
        self._seen = np.zeros(BOARD_HEAD + size, np.int64)
        self._before = np.zeros(BOARD_HEAD + size, np.int64)
        self._live = np.zeros(size, np.int64)

    def set_out(self, clock: int, drawn: int) -> None:
        """Begin at another place than 0; before anyone uses the board.

        Args:
            clock: of this rank.
            drawn: tickets drawn before, to be given by one rank only, 0 by the others.

        Collective: no.
        """
        self._words.fetch_and_add(BOARD_RANK, self._own, clock)
        self._words.fetch_and_add(BOARD_RANK, TICKETS, drawn)

    def call(self) -> None:
        """Ask all ranks to meet at their next step boundary.

        Collective: no.
        """
        self._words.fetch_and_add(BOARD_RANK, CALLS, 1)

    def draw_ticket(self) -> int:
        """Take the next number from the counter; each is given out once.

        Collective: no.
        """
        return self._words.fetch_and_add(BOARD_RANK, TICKETS, 1)

    def advance(self) -> None:
        """Count one finished step of this rank; its updates must be flushed before.

        Collective: no.
        """
        self._words.fetch_and_add(BOARD_RANK, self._own, 1)

    def finish(self) -> None:
        """Leave the minimum: this rank has no work left.

        Collective: no.
        """
        self._words.fetch_and_add(BOARD_RANK, self._own, FINISHED)

    def refresh(self) -> int:
        """Fetch the board; return the slowest clock of the ranks that still have work.

        Returns FINISHED when none has.

        Collective: no.
        """
        np.copyto(self._before, self._seen)
        self._words.fetch_many_into(BOARD_RANK, TICKETS, self._seen)
        self.has_moved = not np.array_equal(self._before, self._seen)
        raw = self._seen[BOARD_HEAD:]
        np.greater_equal(raw, FINISHED, out=self.is_finished)
        np.bitwise_and(raw, FINISHED - 1, out=self.clocks)
        self.tickets_drawn = int(self._seen[0])
        self.calls = int(self._seen[1])
        np.copyto(self._live, self.clocks)
        np.copyto(self._live, FINISHED, where=self.is_finished)
        return int(self._live.min())

    def slowest_ranks(self) -> npt.NDArray[np.int64]:
        """Return the ranks with the slowest clock, as of the last ``refresh``."""
        return np.flatnonzero(self._live == self._live.min())
