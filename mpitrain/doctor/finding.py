"""What a check found: fine or not, the measured value, and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

OK, WARNING, WRONG = "ok", "warning", "wrong"
STATES = (OK, WARNING, WRONG)
_NAME_WIDTH = 15


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was checked, for example "mpiexec".
        state: "ok", "warning" (works, but not as well as it could) or "wrong" (will fail).
        value: what was measured, in a few words.
        remedy: what to do; empty when it is ok.
    """

    name: str
    state: str
    value: str
    remedy: str = ""

    def __post_init__(self) -> None:
        assert self.state in STATES
        assert bool(self.remedy) == (self.state != OK), self

    def line(self) -> str:
        """Return it as one line for people."""
        text = f"{self.state:<7}  {self.name:<{_NAME_WIDTH}}  {_one_line(self.value)}"
        return f"{text} -> {_one_line(self.remedy)}" if self.remedy else text


def ok(name: str, value: str) -> Finding:
    """Return a finding that is fine."""
    return Finding(name, OK, value)


def warning(name: str, value: str, remedy: str) -> Finding:
    """Return a finding that a run survives."""
    return Finding(name, WARNING, value, remedy)


def wrong(name: str, value: str, remedy: str) -> Finding:
    """Return a finding that a run will fail on."""
    return Finding(name, WRONG, value, remedy)


def worst(findings: Iterable[Finding]) -> str:
    """Return the worst state there is; "ok" of nothing."""
    return max((finding.state for finding in findings), key=STATES.index, default=OK)


def summary(findings: Iterable[Finding]) -> str:
    """Return how many there are of each state, for example "12 ok, 1 warning, 0 wrong"."""
    states = [finding.state for finding in findings]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES)


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return the report as plain values."""
    found = list(findings)
    return {
        "schema": 1,
        "state": worst(found),
        "findings": [dataclasses.asdict(finding) for finding in found],
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
