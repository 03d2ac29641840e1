"""Who has stopped without a word, judged by clocks alone: pure.

Where nobody waits, nobody notices a rank that was stopped or whose host is gone. So every rank
looks at the clocks now and then, and finds those that should have moved and did not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAST_LOOKS = 4


class Liveness:
    """Finds ranks whose clock stands still although they have work and may start."""

    def __init__(self, size: int, limit_s: float) -> None:
        """Begin before the first look.

        Args:
            size: number of ranks.
            limit_s: seconds that a clock may stand still.
        """
        self._limit_s = limit_s
        self._clocks = np.full(size, -1, np.int64)
        self._may_move = np.zeros(size, np.bool_)
        self._since_s = np.zeros(size)
        self._looked_s: float | None = None
        self._age_s = 0.0

    def look(
        self,
        clocks: npt.NDArray[np.int64],
        is_finished: npt.NDArray[np.bool_],
        now_s: float,
        may_start: npt.NDArray[np.bool_],
    ) -> list[int]:
        """Return the ranks that could have moved and did not for ``limit_s``.

        A rank that waits for the bound is not to blame: its time begins when it may start. Time in
        which nobody looked counts for at most a quarter of the limit, so that a job that was
        suspended as a whole finds nobody late when it goes on.

        Args:
            clocks: (P,), int64, steps finished by each rank.
            is_finished: (P,), bool, which ranks have no work left.
            now_s: on a clock that never goes back.
            may_start: (P,), bool, which ranks the rule lets start.
        """
        if self._looked_s is not None:
            self._age_s += min(max(0.0, now_s - self._looked_s), self._limit_s / LEAST_LOOKS)
        self._looked_s = now_s
        may_move = may_start & ~is_finished
        stood_still = (clocks == self._clocks) & may_move & self._may_move
        self._since_s[~stood_still] = self._age_s
        self._clocks[:] = clocks
        self._may_move = may_move
        late = stood_still & (self._age_s - self._since_s >= self._limit_s)
        return [int(rank) for rank in np.flatnonzero(late)]
