"""Scalar columns of one rank in one life, read for one question and then let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.storage.reading import Segment

Times = npt.NDArray[np.float64]

PHASES = ("wait_s", "read_s", "compute_s", "write_s")
WINDOW_ORDER = PHASES
BSP_ORDER = ("read_s", "compute_s", "wait_s", "write_s")
"""In bsp the wait is the collective, which comes after the gradient."""
TIMES = ("began_s", *PHASES)


@dataclass(frozen=True, eq=False)
class RankRows:
    """The rows of one rank in one life that are on the timeline.

    Attributes:
        order: the phases as they follow each other in a step.
        columns: (rows,) by name; ``began_s`` in seconds since the zero of this life.
    """

    order: tuple[str, ...]
    columns: Mapping[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["began_s"])

    def phase_began_s(self, phase: str) -> Times:
        """Return when a phase of every step began, (rows,), float64."""
        began: Times = self.columns["began_s"].astype(np.float64)
        for name in self.order[: self.order.index(phase)]:
            began = began + self.columns[name]
        return began

    def ended_s(self) -> Times:
        """Return when every step ended, (rows,), float64."""
        last = self.order[-1]
        ended: Times = self.phase_began_s(last) + self.columns[last]
        return ended


def read_rank_rows(segment: Segment, mode: str, names: Sequence[str]) -> RankRows:
    """Read some scalar columns of a segment; rows whose times are no times are left out.

    Args:
        segment: which rows of which log.
        mode: of the run, which decides the order of the phases.
        names: columns beside the times.

    Raises:
        LogError: the log cannot be read.
    """
    wanted = (*TIMES, *names)
    slices = segment.log.slices(wanted, segment.num_rows, max(1, segment.num_rows))
    columns = next((columns for _, columns in slices), {name: np.empty(0) for name in wanted})
    order = BSP_ORDER if mode == "bsp" else WINDOW_ORDER
    is_good = np.logical_and.reduce([np.isfinite(columns[name]) for name in TIMES])
    for name in PHASES:
        is_good &= columns[name] >= 0
    if is_good.all():
        return RankRows(order, columns)
    return RankRows(order, {name: column[is_good] for name, column in columns.items()})
