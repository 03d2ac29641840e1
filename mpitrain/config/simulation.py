"""The table that says what is simulated; training itself is as the other tables say."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mpitrain.config.setting import Table, setting
from mpitrain.core.errors import UserError

MOST_TICKS = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulate(Table):
    """What the command simulate takes for ranks; nothing else uses it."""

    table: ClassVar[str] = "simulate"

    ranks: int = setting(4, "number of simulated ranks", least=1, most=100_000)
    kind: str = setting(
        "delays",
        "what decides who reads what: delays gives each worker a copy of its own that every "
        "update reaches after a random delay",
        choices=("delays",),
    )
    seed: int | None = setting(None, "of what is random here; none takes run.seed", least=0)
    delay: str = setting(
        "uniform",
        "distribution of the delays, or measured ones of a run's log",
        choices=("constant", "geometric", "measured", "uniform"),
        used_by=("kind", ("delays",)),
    )
    delay_ticks: float = setting(
        4.0,
        "the largest delay (uniform), the mean (geometric), or the delay (constant)",
        unit="steps of one rank",
        least=0,
        most=MOST_TICKS,
        used_by=("delay", ("constant", "geometric", "uniform")),
    )
    delay_from: str | None = setting(
        None,
        "run directory whose reads the delays are measured from",
        used_by=("delay", ("measured",)),
    )

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        if self.delay != "geometric" and self.delay_ticks != int(self.delay_ticks):
            msg = (
                f"simulate.delay_ticks must be a whole number for simulate.delay '{self.delay}', "
                f"got {self.delay_ticks:g}"
            )
            raise UserError(msg)
        if self.delay == "measured" and self.delay_from is None:
            msg = "simulate.delay_from must be a run directory for simulate.delay 'measured'"
            raise UserError(msg)
