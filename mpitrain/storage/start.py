"""What a log says of the start of its life: where the life went on from, and what was left to do.

The numbers are attributes of the log, the arrays are datasets in its group ``/start``; both are the
same in all logs of a life. A log without them, as schema 1 wrote it, is one of a first life.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.core.tickets import Deal

Int64s = npt.NDArray[np.int64]

START_ARRAYS = ("clocks", "cut", "ticket_holes")
"""The datasets of ``/start``, int64."""

START_NUMBERS = {
    "start_life": -1,
    "start_steps": 0,
    "start_version": 0,
    "tickets_next": 0,
    "tickets_drawn": 0,
}
"""The attributes, and the least value of each, which is that of a first life."""

MOST = 2**62
"""Beyond every clock, ticket, version and number of steps."""


def _none() -> Int64s:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class StartMarks:
    """The arrays that a log gets in its group ``/start``.

    Attributes:
        clocks: (P,), int64: this life's first clock of each rank.
        cut: (P of that life,), int64: clocks of the ranks of the life that wrote the checkpoint
            from which this life starts; empty in a first life.
        ticket_holes: (H,), int64, increasing: ``Deal.holes`` of the era.
    """

    clocks: Int64s = field(default_factory=_none)
    cut: Int64s = field(default_factory=_none)
    ticket_holes: Int64s = field(default_factory=_none)

    def arrays(self) -> dict[str, Int64s]:
        """Return the arrays by their names in the file."""
        return {name: np.asarray(getattr(self, name), "<i8") for name in START_ARRAYS}


@dataclass(frozen=True, eq=False)
class Start:
    """Where a life started, as its logs say.

    Attributes:
        life: the life that wrote the checkpoint, -1 for none.
        steps: of all ranks on the timeline before this life.
        version: of every shard.
        clocks: (P,), int64: first clock of each rank; empty where all are 0.
        cut: (P of that life,), int64: clocks of the ranks of life ``life`` at the checkpoint.
        deal: the tickets that were left at the start of the era.
        tickets_drawn: indices of the deal that were taken before this life, with shared tickets.
    """

    life: int = -1
    steps: int = 0
    version: int = 0
    clocks: Int64s = field(default_factory=_none)
    cut: Int64s = field(default_factory=_none)
    deal: Deal = field(default_factory=Deal)
    tickets_drawn: int = 0

    def clock(self, rank: int) -> int:
        """Return the first clock of a rank in this life."""
        return int(self.clocks[rank]) if rank < len(self.clocks) else 0

    @property
    def slowest(self) -> int:
        """The least first clock of a rank."""
        return int(self.clocks.min()) if len(self.clocks) else 0

    def facts(self) -> dict[str, Any]:
        """Return everything by name in the file, as numbers and short texts that compare."""
        return {
            "start_life": self.life,
            "start_steps": self.steps,
            "start_version": self.version,
            "tickets_next": self.deal.next,
            "tickets_drawn": self.tickets_drawn,
            "/start/clocks": _short(self.clocks),
            "/start/cut": _short(self.cut),
            "/start/ticket_holes": _short(self.deal.holes),
        }


def start_of(attributes: Mapping[str, Any], arrays: Mapping[str, Int64s] | None) -> Start:
    """Return the start that a log says, or that of a first life where it has no ``arrays``.

    Raises:
        UserError: something is no number, too small, too large or out of order.
    """
    if arrays is None:
        return Start()
    said = {name: _number(attributes, name, least) for name, least in START_NUMBERS.items()}
    for name in START_ARRAYS:
        _check_range(f"/start/{name}", arrays[name], MOST)
    holes = arrays["ticket_holes"]
    _check_range("/start/ticket_holes", holes, said["tickets_next"])
    if (holes[1:] <= holes[:-1]).any():
        message = "/start/ticket_holes must increase"
        raise UserError(message)
    return Start(
        life=said["start_life"],
        steps=said["start_steps"],
        version=said["start_version"],
        clocks=arrays["clocks"],
        cut=arrays["cut"],
        deal=Deal(said["tickets_next"], holes),
        tickets_drawn=said["tickets_drawn"],
    )


def _short(numbers: Int64s) -> str:
    """Return few numbers as they are, of many how many there are and their checksum."""
    if len(numbers) <= 16:
        return str(numbers.tolist())
    return f"{len(numbers)} numbers with CRC-32 {zlib.crc32(numbers.tobytes()):#010x}"


def _number(attributes: Mapping[str, Any], name: str, least: int) -> int:
    value = attributes.get(name)
    if not isinstance(value, int) or not least <= value < MOST:
        message = f"attribute {name} must be a whole number >= {least}, found {value!r}"
        raise UserError(message)
    return value


def _check_range(name: str, numbers: Int64s, stop: int) -> None:
    if ((numbers < 0) | (numbers >= stop)).any():
        worst = int(numbers.min()) if numbers.min() < 0 else int(numbers.max())
        message = f"{name} must have whole numbers >= 0 and < {stop}, found {worst}"
        raise UserError(message)
