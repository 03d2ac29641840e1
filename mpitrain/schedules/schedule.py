"""A schedule: the order of events that decides a run on many ranks, as arrays; pure.

The rows are the updates of all ranks. A row says which rank computes the gradient at which of its
clocks, from which ticket and from which version of every shard, and which version of every shard it
makes. That is all that training depends on beside the run file; times are kept for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

TIMES = ("began_s", "wait_s", "read_s", "compute_s", "write_s")


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """Updates of P ranks on S shards; rows are in order of rank, then clock.

    Attributes:
        is_collective: the ranks' gradients of one clock are summed into one update (bsp): all rows
            of a clock then read and make the same version.
        size: P, number of ranks.
        rank: (U,), int64.
        clock: (U,), int64; of each rank without gap.
        ticket: (U,), int64.
        read: (U, S), int64, version of each shard that the gradient is computed from.
        written: (U, S), int64, version of each shard that the update makes; without
            ``is_collective`` each version from ``first_version`` + 1 on occurs once per shard.
        first_version: of every shard, before the first update.
        lead: (U,), int64, clock less the slowest clock when the step started.
        times: (U,), float64, by the log's names (``TIMES``), seconds; empty where there are none.
    """

    is_collective: bool
    size: int
    rank: Counts
    clock: Counts
    ticket: Counts
    read: Counts
    written: Counts
    first_version: int = 0
    lead: Counts
    times: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def num_updates(self) -> int:
        """U, rows."""
        return len(self.rank)

    @property
    def num_shards(self) -> int:
        """S."""
        return int(self.read.shape[1])

    @property
    def last_version(self) -> int:
        """The largest version that an update makes."""
        return int(self.written.max(initial=self.first_version))

    def where(self, is_kept: npt.NDArray[np.bool_]) -> Schedule:
        """Return the schedule of some rows, (U,) bool; itself where they are all."""
        if is_kept.all():
            return self
        rows = ("rank", "clock", "ticket", "read", "written", "lead")
        kept = {name: getattr(self, name)[is_kept] for name in rows}
        times = {name: column[is_kept] for name, column in self.times.items()}
        return replace(self, **kept, times=times)
