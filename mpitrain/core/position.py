"""Where a run stands at a consistent cut, and where a life starts: pure.

At a cut every rank is at a step boundary, so a few numbers tell all: each rank's clock, the version
that all shards have, and which tickets are taken. An *era* is a row of lives with the same ranks,
mode and share: its clocks count on from life to life. Other ranks begin a new era: clocks restart
at 0, the tickets that are left are dealt anew, in order, and the version goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.tickets import Deal

Counts = npt.NDArray[np.int64]

SCALARS = ("mode", "share", "era_steps", "version", "drawn")


@dataclass(frozen=True, kw_only=True, eq=False)
class Position:
    """Where all ranks stand.

    Attributes:
        mode: "bsp", "ssp" or "asp".
        share: who takes which ticket, "equal" or "shared".
        clocks: (P,), steps of each rank in this era.
        era_steps: steps of all ranks before this era.
        version: of every shard.
        deal: tickets that were left when the era began.
        drawn: tickets of the deal that were drawn from the common counter (shared).
        ages: (P,), updates that each rank's optimiser state had seen when the era began.
    """

    mode: str
    share: str
    clocks: Counts
    era_steps: int = 0
    version: int = 0
    deal: Deal = field(default_factory=Deal)
    drawn: int = 0
    ages: Counts

    @classmethod
    def first(cls, mode: str, share: str, size: int) -> Position:
        """Return the position of a new run on ``size`` ranks."""
        return cls(mode=mode, share=share, clocks=_zeros(size), ages=_zeros(size))

    @property
    def size(self) -> int:
        """Number of ranks."""
        return len(self.clocks)

    @property
    def steps(self) -> int:
        """Steps of all ranks since the start of the run."""
        return self.era_steps + int(self.clocks.sum())

    def moved(self, clocks: Counts, version: int, drawn: int) -> Position:
        """Return the position later in the same era."""
        return replace(self, clocks=clocks.copy(), version=version, drawn=drawn)

    def on(self, mode: str, share: str, size: int) -> Position:
        """Return the same point of the run as seen by other ranks, or by the same ones.

        The optimiser's count of updates becomes the mean over the ranks, rounded down.
        """
        if (mode, share, size) == (self.mode, self.share, self.size):
            return self
        age = int((self.ages + self.clocks).mean())
        return Position(
            mode=mode,
            share=share,
            clocks=_zeros(size),
            era_steps=self.steps,
            version=self.version,
            deal=self._deal_left(),
            ages=np.full(size, age, np.int64),
        )

    def scalars(self) -> dict[str, Any]:
        """Return what is no array, by name; ``arrays`` has the rest."""
        return {name: getattr(self, name) for name in SCALARS} | {"next_ticket": self.deal.next}

    def arrays(self) -> dict[str, Counts]:
        """Return the arrays by name: int64."""
        return {"clocks": self.clocks, "ages": self.ages, "ticket_holes": self.deal.holes}

    @classmethod
    def of(cls, scalars: dict[str, Any], arrays: dict[str, Counts]) -> Position:
        """Return the position that ``scalars`` and ``arrays`` came from."""
        deal = Deal(int(scalars["next_ticket"]), arrays["ticket_holes"])
        values = {name: scalars[name] for name in SCALARS}
        return cls(**values, clocks=arrays["clocks"], ages=arrays["ages"], deal=deal)

    def _deal_left(self) -> Deal:
        """Return the tickets of the deal that are not taken."""
        if self.share == "shared":
            return self.deal.skipped(self.drawn)
        rounds = int(self.clocks.min())  # that all ranks have done
        more = [np.arange(clock - rounds) * self.size + p for p, clock in enumerate(self.clocks)]
        return self.deal.skipped(rounds * self.size).without(np.concatenate(more))


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where a life starts.

    Attributes:
        life: its number, from 0.
        position: of all its ranks.
        checkpoint: name of the checkpoint it starts from, "none" for a new run.
        checkpoint_sha256: of that checkpoint's completion mark.
        from_life: the life that wrote the checkpoint, -1 for none.
        cut: clocks of that life's ranks at the checkpoint; empty for none.
    """

    life: int
    position: Position
    checkpoint: str = "none"
    checkpoint_sha256: str = "none"
    from_life: int = -1
    cut: Counts = field(default_factory=lambda: _zeros(0))


def _zeros(size: int) -> Counts:
    return np.zeros(size, np.int64)
