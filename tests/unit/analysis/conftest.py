"""Valid runs made by a small simulation of ranks, to be checked as they are or with a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.core.shards import Shards
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.schema import STEP_COLUMNS
from mpitrain.storage.staleness_log import LogWriter

NUM_ELEMENTS = 100
BATCH_SIZE, NUM_SAMPLES = 8, 60  # eight tickets per data pass, the last one short

Row = dict[str, Any]


@dataclass
class Run:
    """The rows of each rank before they are written; tests plant faults in them."""

    mode: str
    bound: int | None
    share: str
    shards: Shards
    rows: list[list[Row]]
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    per_shard: bool = True

    def recount(self) -> None:
        """Set the staleness columns by counting versions one by one, as they are defined."""
        weights = self.shards.weights()
        written = [
            [{row["version_written"][k] for row in own} for own in self.rows]
            for k in range(self.shards.count)
        ]
        for rank, own in enumerate(self.rows):
            for row in own:
                others, mine = [], []
                for k, by_rank in enumerate(written):
                    between = range(row["version_read"][k] + 1, row["version_written"][k])
                    mine.append(sum(v in by_rank[rank] for v in between))
                    others.append(len(between) - mine[-1])
                row["staleness_mean"] = float(np.dot(weights, others))
                row["staleness_max"], row["own_missing"] = max(others), max(mine)

    def write(self, root: Path, *, is_closed: Callable[[int], bool] = lambda _: True) -> Path:
        """Write the logs of the run into ``root`` and return it."""
        run = RunDirectory(root)
        run.life_directory(0).mkdir(parents=True)
        for rank, rows in enumerate(self.rows):
            log = LogWriter(
                run.log_path(0, rank),
                attributes=self._attributes(rank) | self.attributes.get(rank, {}),
                shards=self.shards.table(),
                per_shard=self.per_shard,
                flush_every_s=60.0,
            )
            for row in rows:
                log.append(**row)
            log.event(1e3, "digest", {"parameters_sha256": self.digests.get(rank, "abc")})
            log.close(is_complete=is_closed(rank))
        return root

    def _attributes(self, rank: int) -> dict[str, Any]:
        return {
            "run_id": "r", "life": 0, "rank": rank, "size": len(self.rows), "host": f"node-{rank}",
            "mode": self.mode, "bound": -1 if self.bound is None else self.bound,
            "share": self.share, "seed": 1, "batch_size": BATCH_SIZE, "num_samples": NUM_SAMPLES,
            "shards": self.shards.count, "layout": "{}",
        }  # fmt: skip


def simulate(
    size: int,
    num_shards: int,
    mode: str,
    *,
    bound: int | None = None,
    share: str = "shared",
    steps: int = 60,
    seed: int = 0,
) -> Run:
    """Let ``size`` ranks train ``steps`` steps together, each a little slower than the one before.

    In ssp and asp a rank reads and writes shard after shard, from different starting points; any
    other rank may act in between. The next actor is drawn at random.
    """
    shards = Shards(NUM_ELEMENTS, num_shards, size)
    run = Run(mode, bound, share, shards, [[] for _ in range(size)])
    state = _State(run, steps if share == "shared" else -(-steps // size) * size)
    random = np.random.default_rng([seed, size, num_shards])
    actors = {rank: state.bsp(rank) if mode == "bsp" else state.window(rank) for rank in
              range(size)}  # fmt: skip
    while actors:
        ranks = list(actors)
        weights = 1.0 / (1.0 + np.array(ranks))
        rank = int(random.choice(ranks, p=weights / weights.sum()))
        if next(actors[rank], "done") == "done":
            del actors[rank]
    run.recount()
    return run


class _State:
    """What the simulated ranks share; each rank is a generator that yields between its acts."""

    def __init__(self, run: Run, steps: int) -> None:
        self._run = run
        self._steps = steps
        self._tickets = iter(range(steps))
        self._size = len(run.rows)
        self._clocks: dict[int, int] = dict.fromkeys(range(self._size), 0)
        self._versions = [0] * run.shards.count
        self._time_s = 0.0

    def window(self, rank: int) -> Iterator[None]:
        clock = 0
        while (ticket := self._ticket(rank, clock)) is not None:
            began_s = self._now()
            while self._run.bound is not None and self._lead(clock) > self._run.bound:
                yield
            lead = self._lead(clock)
            row = self._row(clock, ticket, began_s, lead)
            order = [(k + rank) % len(self._versions) for k in range(len(self._versions))]
            for k in order:
                row["version_read"][k] = self._versions[k]
                yield
            for k in order:
                self._versions[k] += 1
                row["version_written"][k] = self._versions[k]
                yield
            clock += 1
            self._clocks[rank] = clock
            self._run.rows[rank].append(row)
            yield
        del self._clocks[rank]

    def bsp(self, rank: int) -> Iterator[None]:
        for clock in range(self._steps // self._size):
            row = self._row(clock, clock * self._size + rank, self._now(), 0)
            row["version_read"][:] = clock
            row["version_written"][:] = clock + 1
            self._run.rows[rank].append(row)
            yield

    def _ticket(self, rank: int, clock: int) -> int | None:
        if self._run.share == "shared":
            return next(self._tickets, None)
        ticket = clock * self._size + rank
        return ticket if ticket < self._steps else None

    def _lead(self, clock: int) -> int:
        return clock - min(self._clocks.values())

    def _now(self) -> float:
        self._time_s += 0.125
        return self._time_s

    def _row(self, clock: int, ticket: int, began_s: float, lead: int) -> Row:
        row: Row = dict.fromkeys(STEP_COLUMNS, 0)
        del row["check"]
        first = ticket * BATCH_SIZE % (BATCH_SIZE * -(-NUM_SAMPLES // BATCH_SIZE))
        return row | {
            "clock": clock, "ticket": ticket, "began_s": began_s, "lead": lead,
            "num_samples": min(BATCH_SIZE, NUM_SAMPLES - first),
            "version_read": np.zeros(len(self._versions), np.int64),
            "version_written": np.zeros(len(self._versions), np.int64),
        }  # fmt: skip


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """The simulation."""
    return simulate
