"""Random delays between workers, each with a copy of its own: the model of Dai et al.; pure.

P workers go in step. At tick t each computes an update from its own copy of the parameters, and
for every ordered pair (p, q), p = q among them, the update of p is added to the copy of q at the
beginning of tick t + 1 + r, with an independent r for each pair. r = 0 everywhere is synchronous
training. A worker's own updates are late too: nobody reads its own writes.

Source: Dai, Zhou, Dong, Zhang, Xing, "Toward understanding the impact of staleness in distributed
machine learning", ICLR 2019 (the model as remembered, not checked against the text). Whether they
divide updates by P is not known; here ``mode.scale`` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.core.seeds import generator
from mpitrain.storage.reading import RunLog

Ticks = npt.NDArray[np.int64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Ticks]

MOST_DELAY = 1 << 20


@dataclass(frozen=True, eq=False)
class Delays:
    """When updates arrive.

    Attributes:
        ticks: (T, P, P), int64, >= 0: r of the update that worker p makes at tick t, at worker q.
    """

    ticks: Ticks

    @property
    def num_ticks(self) -> int:
        """T."""
        return len(self.ticks)

    @property
    def size(self) -> int:
        """P, number of workers."""
        return int(self.ticks.shape[1])

    @property
    def rank(self) -> Ticks:
        """(T * P,), int64, worker of each update, in the order they are computed in."""
        return np.tile(np.arange(self.size), self.num_ticks)


def constant(delay: int) -> Draw:
    """Return what draws always the same delay, in ticks."""
    return lambda _random, shape: np.full(shape, delay, np.int64)


def uniform(most: int) -> Draw:
    """Return what draws 0, 1, ..., ``most``, each as likely: mean most / 2."""
    return lambda random, shape: random.integers(0, most + 1, shape, np.int64)


def geometric(mean: float) -> Draw:
    """Return what draws r with probability q (1 - q)^r, q = 1 / (1 + mean)."""
    return lambda random, shape: random.geometric(1 / (1 + mean), shape).astype(np.int64) - 1


def empirical(samples: npt.NDArray[np.int64]) -> Draw:
    """Return what draws one of ``samples``, each as likely: (N,), N >= 1, >= 0."""
    return lambda random, shape: random.choice(samples, shape)


def drawn(draw: Draw, seed: int, num_ticks: int, size: int) -> Delays:
    """Return the delays of a whole run; a pure function of all arguments.

    Args:
        draw: one of the above.
        seed: of the delays.
        num_ticks: steps of each worker.
        size: workers.
    """
    random = generator(seed, "delays", 0)
    return Delays(np.minimum(draw(random, (num_ticks, size, size)), MOST_DELAY))


def measured(log: RunLog) -> Ticks:
    """Return the delays that the reads of a run met: (N,), int64, in steps of one rank.

    For a read by rank p at clock c and another rank q: how many more of q's updates a synchronous
    run would have had there, c - 1 less the newest clock of q that the read knows of, at least 0.
    The newest life counts, by its first shard.

    Raises:
        UserError: the log has no versions, or fewer than two ranks.
    """
    life = log.lives[-1]
    logs = [life.ranks[rank] for rank in sorted(life.ranks)]
    if len(logs) < 2 or not all(rank.per_shard for rank in logs):
        message = (
            f"{log.directory.root}: delays between ranks are measured from the versions of at "
            "least two ranks (log.per_shard = true)"
        )
        raise UserError(message)
    clocks = [rank.steps["clock"] for rank in logs]
    read = [rank.steps["version_read"][:, 0] for rank in logs]
    written = [rank.steps["version_written"][:, 0] for rank in logs]
    found = [
        _lag(clocks[p], read[p], clocks[q], written[q])
        for p in range(len(logs))
        for q in range(len(logs))
        if p != q
    ]
    samples = np.concatenate(found)
    if not samples.size:
        message = f"{log.directory.root}: there are no steps whose delays could be measured"
        raise UserError(message)
    return np.maximum(samples, 0)


def _lag(clock: Ticks, read: Ticks, other_clock: Ticks, other_written: Ticks) -> Ticks:
    """Return c - 1 less the newest clock of the other rank that each read knows of."""
    first = int(other_clock[0]) if len(other_clock) else 0
    newest = first + np.searchsorted(other_written, read, side="right") - 1
    lag: Ticks = clock - 1 - newest
    return lag


def arrivals(delays: Delays, tick: int, since: int) -> list[tuple[int, int, list[int]]]:
    """Return what arrives at the beginning of a tick, in order: tick and worker, readers.

    Args:
        delays: of the run.
        tick: whose beginning it is.
        since: first tick whose updates may still be under way.
    """
    window = delays.ticks[since:tick]
    due = tick - 1 - np.arange(since, since + len(window))
    is_due = window == due[:, np.newaxis, np.newaxis]
    places = np.argwhere(is_due.any(axis=2)).tolist()
    return [(since + t, p, np.flatnonzero(is_due[t, p]).tolist()) for t, p in places]
