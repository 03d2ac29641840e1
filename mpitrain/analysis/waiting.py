"""Who waited for whom: found from the logs, though no log says it.

A rank at clock c under the bound s may start when every rank has finished its step at clock
c - s - 1, so its wait ends with the last of those: that rank is the one it waited for. In
synchronous training the reduction of clock c ends when the last rank comes to it. Where nobody was
late (the last had finished before the wait began, or the log that would tell is missing) the wait
is nobody's: it is what looking at the clocks and sending messages takes.

Source of the rule: Ho et al., "More effective distributed ML via a stale synchronous parallel
parameter server", NIPS 2013, section 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.phases import Phases, Seconds
from mpitrain.core.errors import LogError

Ranks = npt.NDArray[np.int64]
NOBODY = -1
MOST_CLOCKS = 50_000_000  # of a life


class LastAt:
    """Which rank was the last at every clock of a life, and when.

    Attributes:
        time_s: (C,), float64, of the last; minus infinity where nobody was seen.
        rank: (C,), int64; ``NOBODY`` there.
        least_wait_s: (C,), float64, of all ranks; infinity there.
    """

    def __init__(self) -> None:
        """Begin before any rank."""
        self._first = 0
        self.time_s = np.empty(0)
        self.rank: Ranks = np.empty(0, np.int64)
        self.least_wait_s = np.empty(0)

    def see(self, rank: int, phases: Phases, at_s: Seconds) -> None:
        """Take note of a rank, which was at its clocks at these times, (N,), seconds."""
        if not phases.num_rows:
            return
        self._reach(int(phases.clock.min()), int(phases.clock.max()))
        place = phases.clock - self._first
        is_later = at_s > self.time_s[place]
        self.time_s[place[is_later]] = at_s[is_later]
        self.rank[place[is_later]] = rank
        self.least_wait_s[place] = np.minimum(self.least_wait_s[place], phases.wait_s)

    def at(self, clock: Ranks) -> tuple[Ranks, Seconds, Seconds]:
        """Return last rank, its time, least wait at these clocks, (N,) each."""
        place = clock - self._first
        is_known = (place >= 0) & (place < len(self.rank))
        place = np.where(is_known, place, 0)
        if not len(self.rank):
            nothing = np.full(len(clock), -np.inf)
            return np.full(len(clock), NOBODY), nothing, -nothing
        return (
            np.where(is_known, self.rank[place], NOBODY),
            np.where(is_known, self.time_s[place], -np.inf),
            np.where(is_known, self.least_wait_s[place], np.inf),
        )

    def _reach(self, first: int, last: int) -> None:
        """Make room for the clocks from ``first`` to ``last``.

        Raises:
            LogError: so many clocks are in no log.
        """
        if not len(self.rank):
            self._first = first
        before = max(0, self._first - first)
        after = max(0, last + 1 - self._first - len(self.rank))
        if before + len(self.rank) + after > MOST_CLOCKS:
            message = f"clocks from {first} to {last} are not of one life; verify names the rows"
            raise LogError(message)
        if before or after:
            self._first -= before
            room = (before, after)
            self.time_s = np.pad(self.time_s, room, constant_values=-np.inf)
            self.rank = np.pad(self.rank, room, constant_values=NOBODY)
            self.least_wait_s = np.pad(self.least_wait_s, room, constant_values=np.inf)


def seen_at(phases: Phases, mode: str) -> Seconds:
    """Return when others could go on because of this rank's steps, (N,), seconds."""
    return phases.ready_s if mode == "bsp" else phases.ended_s


def waited_for(
    rank: int, phases: Phases, last: LastAt, mode: str, bound: int | None
) -> tuple[Ranks, Seconds]:
    """Return for whom a rank waited in each step, and for how long.

    Args:
        rank: who waited.
        phases: its steps.
        last: of all ranks.
        mode: "bsp", "ssp" or "asp".
        bound: of ssp; None where nobody has to wait.

    Returns:
        (N,), int64, ``NOBODY`` where it is nobody's; (N,), float64, seconds, <= ``wait_s``.
    """
    if mode == "bsp":
        whom, _, least_s = last.at(phases.clock)
        whom = np.where(whom == rank, NOBODY, whom)
        lost_s = np.where(whom == NOBODY, 0.0, phases.wait_s - np.minimum(least_s, phases.wait_s))
        return whom, lost_s
    if bound is None:
        return np.full(phases.num_rows, NOBODY), np.zeros(phases.num_rows)
    whom, time_s, _ = last.at(phases.clock - bound - 1)
    is_late = (time_s > phases.began_s) & (whom != rank)
    return np.where(is_late, whom, NOBODY), np.where(is_late, phases.wait_s, 0.0)
