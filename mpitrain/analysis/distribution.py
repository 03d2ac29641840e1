"""How staleness, lead and own missing updates are distributed: by rank, by shard, over time.

Staleness is counted for each update on each shard, from the versions; where a log has none, for
each update by ``staleness_max``. Lead and ``own_missing`` are counted for each update.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.histogram import DENSE, Histogram
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.scan import Rows, scan
from mpitrain.analysis.staleness import OthersInSlices
from mpitrain.analysis.time_axis import TimeAxis
from mpitrain.storage.reading import Segment
from mpitrain.storage.schema import SHARD_COLUMNS

MEASURES = ("staleness", "lead", "own_missing")
NUM_PARTS = 40
NUM_EXTREMES = 10


def _histograms() -> dict[str, Histogram]:
    return {name: Histogram() for name in MEASURES}


@dataclass(frozen=True)
class Extreme:
    """An update that was very stale.

    Attributes:
        staleness: updates of others that it did not know of, on the shard where they are most.
        life: of the run.
        rank: that computed it.
        row: in the log of the rank.
        time_s: when its step began, on the axis of the run.
    """

    staleness: int
    life: int
    rank: int
    row: int
    time_s: float


@dataclass
class Distribution:
    """Counts of all measures.

    Attributes:
        axis: the time of the run.
        per_rank: by rank, by measure.
        per_shard: by shard: staleness; empty where the logs have no versions.
        per_part: for each part of the time, by measure.
        extremes: the stalest updates, stalest first.
    """

    axis: TimeAxis
    per_rank: dict[int, dict[str, Histogram]] = field(default_factory=dict)
    per_shard: list[Histogram] = field(default_factory=list)
    per_part: list[dict[str, Histogram]] = field(
        default_factory=lambda: [_histograms() for _ in range(NUM_PARTS)]
    )
    extremes: list[Extreme] = field(default_factory=list)

    def whole(self, measure: str) -> Histogram:
        """Return the counts of a measure over all ranks."""
        whole = Histogram()
        for histograms in self.per_rank.values():
            whole.merge(histograms[measure])
        return whole

    def facts(self) -> dict[str, Any]:
        """Return the distributions as a JSON object."""
        edges_s = self.axis.edges_s(NUM_PARTS).tolist()
        return {
            "measures": {name: self._measure(name) for name in MEASURES},
            "per_rank": [
                {"rank": rank, **{name: values[name].facts() for name in MEASURES}}
                for rank, values in sorted(self.per_rank.items())
            ],
            "per_shard": [
                {"shard": shard, "staleness": values.facts()}
                for shard, values in enumerate(self.per_shard)
            ],
            "over_time": [
                {"start_s": start, "stop_s": stop,
                 **{name: values[name].facts() for name in MEASURES}}
                for start, stop, values in zip(edges_s, edges_s[1:], self.per_part, strict=False)
            ],
            "tail": [vars(extreme) for extreme in self.extremes],
        }  # fmt: skip

    def _measure(self, name: str) -> dict[str, Any]:
        whole = self.whole(name)
        return {**whole.facts(), "counts": [list(item) for item in whole.items()]}


def distribution_of(run: Opened) -> Distribution:
    """Count the rows on the timeline of a run, rank after rank."""
    found = Distribution(run.axis)
    for segment, offset_s in run.timed_segments():
        scan(segment.log, [Counting(found, segment, offset_s)], segment.num_rows)
    return found


class Counting:
    """Counts the rows of one log.

    Args:
        found: where they are counted.
        segment: the rows that count.
        offset_s: seconds to add to the times of its life.
    """

    def __init__(self, found: Distribution, segment: Segment, offset_s: float) -> None:
        self._found, self._segment, self._offset_s = found, segment, offset_s
        self._has_versions = segment.log.per_shard
        staleness = SHARD_COLUMNS if self._has_versions else ("staleness_max",)
        self.names = ("began_s", "lead", "own_missing", *staleness)
        self._others = OthersInSlices(segment.log)
        self._edges_s = found.axis.edges_s(NUM_PARTS)
        self._of_rank = found.per_rank.setdefault(segment.rank, _histograms())

    def look(self, first: int, rows: Rows) -> None:
        """Count a slice."""
        for part, start, stop in self._parts(rows["began_s"]):
            for name in ("lead", "own_missing"):
                values = rows[name][start:stop]
                self._of_rank[name].add(values)
                self._found.per_part[part][name].add(values)
        if not self._has_versions:
            self._count(first, rows["began_s"], rows["staleness_max"][:, np.newaxis])
        else:
            self._count(first, rows["began_s"], self._others.of(first, rows))

    def _count(
        self, first: int, began_s: npt.NDArray[np.float64], others: npt.NDArray[np.int64]
    ) -> None:
        for part, start, stop in self._parts(began_s):
            self._count_part(part, others[start:stop])
        self._note_extremes(first, began_s, others)

    def _count_part(self, part: int, others: npt.NDArray[np.int64]) -> None:
        histograms = [self._of_rank["staleness"], self._found.per_part[part]["staleness"]]
        shards = self._shards(others.shape[1])
        width = int(others.max()) + 1
        if others.min() < 0 or width > DENSE or width > 4 * len(others) + 64:
            for histogram in histograms:
                histogram.add(others)
            for shard, histogram in enumerate(shards):
                histogram.add(others[:, shard])
            return
        num_shards = others.shape[1]
        places = others + np.arange(num_shards) * width
        counts = np.bincount(places.reshape(-1), minlength=num_shards * width)
        counts = counts.reshape(num_shards, width)
        for histogram in histograms:
            histogram.add_counts(counts.sum(axis=0))
        for histogram, count in zip(shards, counts, strict=True):
            histogram.add_counts(count)

    def _shards(self, num_shards: int) -> list[Histogram]:
        if not self._has_versions:
            return [Histogram()]
        shards = self._found.per_shard
        shards += [Histogram() for _ in range(num_shards - len(shards))]
        return shards[:num_shards]

    def _parts(self, began_s: npt.NDArray[np.float64]) -> list[tuple[int, int, int]]:
        """Return part of the time, first row and row after the last, for the rows of a slice."""
        parts = np.searchsorted(self._edges_s, began_s + self._offset_s, "right") - 1
        parts = np.clip(parts, 0, NUM_PARTS - 1)
        changes = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        return [
            (int(parts[start]), start, stop)
            for start, stop in itertools.pairwise(changes)
            if stop > start
        ]

    def _note_extremes(
        self, first: int, began_s: npt.NDArray[np.float64], others: npt.NDArray[np.int64]
    ) -> None:
        extremes = self._found.extremes
        least = extremes[-1].staleness if len(extremes) == NUM_EXTREMES else 0
        if others.max() <= least:
            return
        largest = others.max(axis=1)
        rows = np.argsort(-largest, kind="stable")[:NUM_EXTREMES].tolist()
        extremes += [
            Extreme(int(largest[row]), self._segment.life, self._segment.rank, first + row,
                    float(began_s[row]) + self._offset_s)
            for row in rows
            if largest[row] > least
        ]  # fmt: skip
        extremes.sort(key=lambda extreme: -extreme.staleness)
        del extremes[NUM_EXTREMES:]
