"""Valid runs made by a small simulation of ranks, to be checked as they are or with a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.core.shards import Shards
from mpitrain.core.tickets import Deal
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.schema import STEP_COLUMNS
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.storage.start import StartMarks

NUM_ELEMENTS = 100
BATCH_SIZE, NUM_SAMPLES = 8, 60  # eight tickets per data pass, the last one short

Row = dict[str, Any]


@dataclass
class Point:
    """How far a run is: the start of a life, or a cut."""

    clocks: list[int]
    life: int = -1
    cut: list[int] = field(default_factory=list)
    version: int = 0
    steps: int = 0
    deal: Deal = field(default_factory=Deal)
    drawn: int = 0

    def attributes(self) -> dict[str, Any]:
        """Return what the logs of a life that starts here say of it, without the arrays."""
        return {
            "start_life": self.life, "start_steps": self.steps, "start_version": self.version,
            "tickets_next": self.deal.next, "tickets_drawn": self.drawn,
        }  # fmt: skip

    def marks(self) -> StartMarks:
        """Return the arrays that they hold."""
        return StartMarks(np.array(self.clocks), np.array(self.cut, np.int64), self.deal.holes)


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
    life: int = 0
    start: Point | None = None
    state: Any = None

    def go_on(self, steps: int, *, uneven: bool = False, seed: int = 1) -> Point:
        """Let the ranks take ``steps`` more steps in this life, and return the cut after them.

        With equal shares each rank takes its part, rounded up; ``uneven``: odd ranks one less.
        """
        self.state.run(steps, seed, uneven=uneven)
        self.recount()
        return self.state.point()

    def next(
        self,
        cut: Point,
        *,
        size: int | None = None,
        mode: str | None = None,
        bound: int | None = None,
        share: str | None = None,
    ) -> Run:
        """Return the next life, without rows yet, which starts from a cut of this one."""
        size, mode, share = size or len(self.rows), mode or self.mode, share or self.share
        same = (size, mode, share) == (len(self.rows), self.mode, self.share)
        start = Point(cut.clocks if same else [0] * size, self.life, cut.clocks, cut.version,
                      cut.steps, cut.deal, cut.drawn if same else 0)  # fmt: skip
        if not same:
            clocks = enumerate(cut.clocks)
            taken = [np.arange(num) * len(cut.clocks) + rank for rank, num in clocks]
            taken = [np.arange(cut.drawn)] if self.share == "shared" else taken
            start.deal = cut.deal.without(np.concatenate(taken))
        shards = Shards(NUM_ELEMENTS, self.shards.count, size)
        run = Run(mode, self.bound if bound is None else bound, share, shards,
                  [[] for _ in range(size)], life=self.life + 1, start=start)  # fmt: skip
        run.state = _State(run)
        return run

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
        run.life_directory(self.life).mkdir(parents=True)
        start = self.start or Point([0] * len(self.rows))
        for rank, rows in enumerate(self.rows):
            log = LogWriter(
                run.log_path(self.life, rank),
                attributes=self._attributes(rank)
                | (start.attributes() if self.start else {})
                | self.attributes.get(rank, {}),
                shards=self.shards.table(),
                per_shard=self.per_shard,
                flush_every_s=60.0,
                start=start.marks() if self.start else None,
            )
            for row in rows:
                log.append(**row)
            log.event(1e3, "digest", {"parameters_sha256": self.digests.get(rank, "abc")})
            log.close(is_complete=is_closed(rank))
        return root

    def _attributes(self, rank: int) -> dict[str, Any]:
        return {
            "run_id": "r", "life": self.life, "rank": rank, "size": len(self.rows),
            "host": f"node-{rank}",
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
    run.state = _State(run)
    run.go_on(steps, seed=seed)
    return run


class _State:
    """What the simulated ranks share; each rank is a generator that yields between its acts."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._size = len(run.rows)
        self._start = run.start or Point([0] * self._size)
        self._done = list(self._start.clocks)  # of all ranks; _clocks of those with work
        self._clocks: dict[int, int] = {}
        self._drawn = self._start.drawn
        self._versions = [self._start.version] * run.shards.count
        self._stops: list[int] = []
        self._stop = 0
        self._time_s = 0.0

    def run(self, steps: int, seed: int, *, uneven: bool) -> None:
        """Take steps until the ranks together have taken so many more."""
        size, mode = self._size, self._run.mode
        self._stop = self._drawn + steps
        more = [-(-steps // size) - (uneven and rank % 2) for rank in range(size)]
        self._stops = [max(self._done) + num for num in more]
        self._clocks = dict(enumerate(self._done))
        random = np.random.default_rng([seed, size, self._run.shards.count])
        actors = {
            rank: self.bsp(rank) if mode == "bsp" else self.window(rank) for rank in range(size)
        }
        while actors:
            ranks = list(actors)
            weights = 1.0 / (1.0 + np.array(ranks))
            rank = int(random.choice(ranks, p=weights / weights.sum()))
            if next(actors[rank], "done") == "done":
                del actors[rank]

    def point(self) -> Point:
        """Return where the run is; the deal is that of the era."""
        num_rows = sum(map(len, self._run.rows))
        return Point(list(self._done), self._start.life, self._start.cut, self._versions[0],
                     self._start.steps + num_rows, self._start.deal, self._drawn)  # fmt: skip

    def window(self, rank: int) -> Iterator[None]:
        clock = self._done[rank]
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
            self._clocks[rank] = self._done[rank] = clock
            self._run.rows[rank].append(row)
            yield
        del self._clocks[rank]

    def bsp(self, rank: int) -> Iterator[None]:
        for clock in range(self._done[rank], self._stops[rank]):
            ticket = self._start.deal.ticket(clock * self._size + rank)
            row = self._row(clock, ticket, self._now(), 0)
            version = self._start.version + clock - self._start.clocks[rank]
            row["version_read"][:] = version
            row["version_written"][:] = version + 1
            self._run.rows[rank].append(row)
            self._done[rank] = clock + 1
            self._versions = [max(self._versions[0], version + 1)] * len(self._versions)
            yield

    def _ticket(self, rank: int, clock: int) -> int | None:
        if self._run.share == "equal":
            index = clock * self._size + rank
            return self._start.deal.ticket(index) if clock < self._stops[rank] else None
        if self._drawn == self._stop:
            return None
        self._drawn += 1
        return self._start.deal.ticket(self._drawn - 1)

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
