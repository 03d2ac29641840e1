"""What one step leaves behind: the numbers of one row of the staleness log."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpitrain.consistency.staleness import Staleness


@dataclass(slots=True)
class StepRecord:
    """One step of one rank, filled in phase by phase; reused for every step.

    The fields are the log's columns; times in seconds, versions (S,) int64.
    """

    num_shards: int
    clock: int = 0
    ticket: int = 0
    began_s: float = 0.0
    wait_s: float = 0.0
    read_s: float = 0.0
    compute_s: float = 0.0
    write_s: float = 0.0
    lead: int = 0
    staleness_mean: float = 0.0
    staleness_max: int = 0
    own_missing: int = 0
    loss: float = 0.0
    gradient_norm: float = 0.0
    update_norm: float = 0.0
    rate: float = 0.0
    factor: float = 1.0
    num_samples: int = 0
    version_read: npt.NDArray[np.int64] = field(init=False)
    version_written: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.version_read = np.zeros(self.num_shards, np.int64)
        self.version_written = np.zeros(self.num_shards, np.int64)

    def note_staleness(self, staleness: Staleness, factors: npt.NDArray[np.float64]) -> None:
        """Fill in what a step over a window shows when its last shard is written.

        Args:
            staleness: of this rank's update.
            factors: (S,), staleness factors that were applied.
        """
        self.staleness_mean = staleness.mean
        self.staleness_max = staleness.largest
        self.own_missing = int(staleness.own_missing.max())
        self.factor = float(staleness.weights @ factors)
