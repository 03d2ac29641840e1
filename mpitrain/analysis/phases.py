"""What one rank's steps took, phase by phase, read from its log and let go again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        num_left_out: rows whose times or clock no step can have (``verify`` names them); not among
            the N.
        more: (N,) by name, other columns that were asked for.
    """

    clock: npt.NDArray[np.int64]
    began_s: Seconds
    wait_s: Seconds
    own_s: Seconds
    ended_s: Seconds
    num_left_out: int
    more: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.clock)

    @property
    def ready_s(self) -> Seconds:
        """(N,), when the gradient was there: a synchronous step waits only after that."""
        ready_s: Seconds = self.ended_s - self.wait_s - self.own_s[OWN.index("write")]
        return ready_s


def read_phases(segment: Segment, more: Sequence[str] = ()) -> Phases:
    """Read the steps of a rank that count.

    Args:
        segment: which rows of which log.
        more: other columns to read.

    Raises:
        LogError: some of the rows are not in the file.
    """
    names = (*COLUMNS, *more)
    read = [rows for _, rows in segment.log.slices(names, segment.num_rows, segment.num_rows)]
    columns = read[0] if read else {name: np.empty(0) for name in names}
    is_good = _is_good(segment, columns)
    if not is_good.all():
        columns = {name: column[is_good] for name, column in columns.items()}
    began_s, wait_s = (columns[name].astype(np.float64) for name in ("began_s", "wait_s"))
    own_s = np.zeros((len(OWN), len(began_s)))
    for row, name in zip(own_s, LOGGED, strict=False):
        row[:] = columns[f"{name}_s"]
    ended_s = began_s + wait_s + own_s[:-1].sum(axis=0)
    own_s[-1, :-1] = np.maximum(began_s[1:] - ended_s[:-1], 0.0)
    return Phases(
        clock=columns["clock"].astype(np.int64),
        began_s=began_s,
        wait_s=wait_s,
        own_s=own_s,
        ended_s=ended_s,
        num_left_out=len(is_good) - len(began_s),
        more={name: columns[name] for name in more},
    )


def _is_good(segment: Segment, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Tell which rows a step can have made, (rows,).

    A clock that no step of the life can have would need room for all clocks before it.
    """
    clock = columns["clock"]
    stop = max(segment.log.start.clocks, default=0) + segment.num_rows
    is_good = np.isfinite(columns["began_s"]) & (clock >= 0) & (clock < stop)
    for name in ("wait", *LOGGED):
        phase_s = columns[f"{name}_s"]
        is_good &= np.isfinite(phase_s) & (phase_s >= 0)
    good: npt.NDArray[np.bool_] = is_good
    return good
