"""Sums over a rank's steps, merged over the ranks for progress lines and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from mpitrain.modes.record import StepRecord


@dataclass
class Totals:
    """What one rank, or all ranks together, did.

    Times in seconds, summed over steps; ``last_s`` and ``first_s`` on the common clock of this
    life, ``earlier_s`` the length of the lives before.
    """

    num_steps: int = 0
    num_samples: int = 0
    wait_s: float = 0.0
    read_s: float = 0.0
    compute_s: float = 0.0
    write_s: float = 0.0
    staleness_sum: float = 0.0
    staleness_max: int = 0
    lead_max: int = 0
    first_s: float = float("inf")
    last_s: float = float("-inf")
    earlier_s: float = 0.0

    def add(self, record: StepRecord, ended_s: float) -> None:
        """Count one step that ended at ``ended_s`` on the common clock."""
        self.num_steps += 1
        self.num_samples += record.num_samples
        self.wait_s += record.wait_s
        self.read_s += record.read_s
        self.compute_s += record.compute_s
        self.write_s += record.write_s
        self.staleness_sum += record.staleness_mean
        self.staleness_max = max(self.staleness_max, record.staleness_max)
        self.lead_max = max(self.lead_max, record.lead)
        self.first_s = min(self.first_s, record.began_s)
        self.last_s = ended_s

    @property
    def seconds(self) -> float:
        """Time from the first step's begin to the last step's end, over all lives."""
        return self.earlier_s + max(self.last_s - self.first_s, 0.0)

    def to_mapping(self) -> dict[str, float]:
        """Return what the next life needs, by name; ``of_earlier`` takes it."""
        values = {name: value for name, value in asdict(self).items() if name not in CLOCK_TIMES}
        return values | {"earlier_s": self.seconds}

    @classmethod
    def of_earlier(cls, values: Mapping[str, float]) -> Totals:
        """Return the totals of the lives before this one."""
        return cls(**values)  # type: ignore[arg-type]

    @property
    def staleness_mean(self) -> float:
        """Mean staleness over all steps."""
        return self.staleness_sum / self.num_steps if self.num_steps else 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time of all steps that went into waiting."""
        return self.shares()["wait"]

    @property
    def step_s(self) -> float:
        """Mean time of a step without waiting for others."""
        own_s = self.read_s + self.compute_s + self.write_s
        return own_s / self.num_steps if self.num_steps else 0.0

    def shares(self) -> dict[str, float]:
        """Return the share of the time of all steps that went into each phase, by its name."""
        phases = {name: getattr(self, f"{name}_s") for name in TIMED}
        whole_s = sum(phases.values())
        return {name: phase_s / whole_s if whole_s else 0.0 for name, phase_s in phases.items()}


TIMED = ("compute", "read", "write", "wait")
CLOCK_TIMES = ("first_s", "last_s")
EXTREMES = {"staleness_max": max, "lead_max": max, "first_s": min, "last_s": max}


def merged(parts: Sequence[Totals]) -> Totals:
    """Return the totals of all ``parts`` together."""
    values = {
        field.name: EXTREMES.get(field.name, sum)(getattr(part, field.name) for part in parts)
        for field in fields(Totals)
    }
    return Totals(**values)
