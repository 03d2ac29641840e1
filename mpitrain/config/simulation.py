"""The table that says what is simulated; training itself is as the other tables say."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mpitrain.config.setting import MOST_S, Table, setting
from mpitrain.core.errors import UserError

MOST_TICKS = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulate(Table):
    """What the command simulate takes for ranks; nothing else uses it."""

    table: ClassVar[str] = "simulate"

    ranks: int = setting(4, "number of simulated ranks", least=1, most=100_000)
    kind: str = setting(
        "events",
        "what decides who reads what: events simulates a cluster step by step under the rules of "
        "mode.kind, delays gives each worker a copy of its own that every update reaches after a "
        "random delay, file takes a schedule from an HDF5 file",
        choices=("delays", "events", "file"),
    )
    path: str | None = setting(None, "of the schedule", used_by=("kind", ("file",)))
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
    compute: str = setting(
        "lognormal",
        "distribution of the time to compute a gradient, or measured times of a run's log",
        choices=("constant", "exponential", "lognormal", "measured", "pareto"),
        used_by=("kind", ("events",)),
    )
    compute_s: float = setting(
        0.01,
        "mean time to compute a gradient",
        unit="seconds",
        above=0,
        most=MOST_S,
        used_by=("compute", ("constant", "exponential", "lognormal", "pareto")),
    )
    spread: float = setting(
        0.2,
        "standard deviation of the logarithm of the time",
        least=0,
        most=10,
        used_by=("compute", ("lognormal",)),
    )
    exponent: float = setting(
        2.5, "of the tail; smaller is heavier", above=1, used_by=("compute", ("pareto",))
    )
    speeds: tuple[float, ...] = setting(
        (),
        "speed of each rank relative to the others; a short list is repeated, empty is all alike",
        above=0,
        used_by=("kind", ("events",)),
    )
    measured_from: str | None = setting(
        None, "run directory that measured delays, computing times and costs are taken from"
    )
    latency_s: float = setting(
        5e-6,
        "of a message",
        unit="seconds",
        least=0,
        most=MOST_S,
        used_by=("kind", ("events",)),
    )
    bandwidth: float = setting(
        1e10, "of the network", unit="bytes/s", above=0, used_by=("kind", ("events",))
    )
    service_s: float = setting(
        0.0,
        "part of writing a shard for which its owner serves nobody else",
        unit="seconds",
        least=0,
        most=MOST_S,
        used_by=("kind", ("events",)),
    )
    overhead_s: float = setting(
        1e-4,
        "between two steps of a rank",
        unit="seconds",
        least=0,
        most=MOST_S,
        used_by=("kind", ("events",)),
    )

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        is_whole = self.kind != "delays" or self.delay in ("geometric", "measured")
        if not is_whole and self.delay_ticks != int(self.delay_ticks):
            msg = (
                f"simulate.delay_ticks must be a whole number for simulate.delay '{self.delay}', "
                f"got {self.delay_ticks:g}"
            )
            raise UserError(msg)
        is_measured = "measured" in (
            self.delay if self.kind == "delays" else "",
            self.compute if self.kind == "events" else "",
        )
        if is_measured and self.measured_from is None:
            msg = "simulate.measured_from must be a run directory: something is to be measured"
            raise UserError(msg)
        if self.kind == "file" and self.path is None:
            msg = "simulate.path must be an HDF5 file for simulate.kind 'file'"
            raise UserError(msg)
