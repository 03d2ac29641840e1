"""What one rank's steps took, phase by phase, read from its log and let go again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.storage.timeline import Segment

Seconds = npt.NDArray[np.float64]

LOGGED = ("read", "compute", "write")
OWN = (*LOGGED, "between")
"""The phases of a step in which a rank waits for nobody; "between" is from its end to the next."""

COLUMNS = ("clock", "began_s", "wait_s", *(f"{name}_s" for name in LOGGED))


@dataclass(frozen=True, kw_only=True, eq=False)
class Phases:
    """The steps of one rank in one life.

    Attributes:
        clock: (N,), int64.
        began_s: (N,), float64, seconds on the life's clock.
        wait_s: (N,), float64.
        own_s: (4, N), float64, by ``OWN``.
        ended_s: (N,), float64.
        num_left_out: rows whose times are no times (``verify`` names them); not among the N.
    """

    clock: npt.NDArray[np.int64]
    began_s: Seconds
    wait_s: Seconds
    own_s: Seconds
    ended_s: Seconds
    num_left_out: int

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.clock)

    @property
    def ready_s(self) -> Seconds:
        """(N,), when the gradient was there: a synchronous step waits only after that."""
        ready_s: Seconds = self.ended_s - self.wait_s - self.own_s[OWN.index("write")]
        return ready_s


def read_phases(segment: Segment) -> Phases:
    """Read the steps of a rank that count.

    Raises:
        LogError: some of the rows are not in the file.
    """
    read = [rows for _, rows in segment.log.slices(COLUMNS, segment.num_rows, segment.num_rows)]
    columns = read[0] if read else {name: np.empty(0) for name in COLUMNS}
    seconds = {n: np.asarray(columns[n], np.float64) for n in COLUMNS if n != "clock"}
    is_good = np.logical_and.reduce([np.isfinite(column) for column in seconds.values()])
    is_good &= np.logical_and.reduce([seconds[f"{name}_s"] >= 0 for name in ("wait", *LOGGED)])
    kept = {name: column[is_good] for name, column in seconds.items()}
    logged_s = [kept[f"{name}_s"] for name in LOGGED]
    ended_s = kept["began_s"] + kept["wait_s"] + sum(logged_s)
    between_s = np.zeros_like(ended_s)
    between_s[:-1] = np.maximum(kept["began_s"][1:] - ended_s[:-1], 0.0)
    return Phases(
        clock=np.asarray(columns["clock"], np.int64)[is_good],
        began_s=kept["began_s"],
        wait_s=kept["wait_s"],
        own_s=np.stack([*logged_s, between_s]),
        ended_s=ended_s,
        num_left_out=len(is_good) - int(is_good.sum()),
    )
