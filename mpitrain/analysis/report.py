"""What a verification says: what is wrong, what could not be checked, what was there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpitrain.analysis.findings import Finding
from mpitrain.core.console import counted


@dataclass
class Report:
    """What the logs of a run say of it.

    Attributes:
        directory: the run directory.
        findings: what is wrong, in the order of the checks.
        notes: what could not be checked, or is not finished yet.
        rows: rows on the run's timeline.
        lives: lives on the run's timeline.
        ranks: ranks of the newest life.
        shards: shards of the newest life.
        updates_per_shard: updates since the start of the run that are on every shard without a gap;
            None when the logs hold no versions.
    """

    directory: Path
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    lives: int = 0
    ranks: int = 0
    shards: int = 0
    updates_per_shard: int | None = None

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.findings

    @property
    def num_faults(self) -> int:
        """Faults in all; a finding may stand for many rows."""
        return sum(finding.num_rows for finding in self.findings)

    def summary(self) -> str:
        """Return the one line that says how it went."""
        lives = f"{self.lives} lives, " if self.lives > 1 else ""
        shards = counted(self.shards, "shard")
        if self.updates_per_shard is not None:
            each = f"each of {shards}" if self.shards > 1 else shards
            shards = f"{counted(self.updates_per_shard, 'update')} on {each}"
        counts = f"{counted(self.rows, 'row')}, {lives}{counted(self.ranks, 'rank')}, {shards}"
        return f"ok: {counts}" if self.ok else f"{counted(self.num_faults, 'fault')} in {counts}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "directory": str(self.directory),
            "ok": self.ok,
            "faults": self.num_faults,
            "findings": [{**vars(f), "file": str(f.file)} for f in self.findings],
            "notes": self.notes,
            "rows": self.rows,
            "lives": self.lives,
            "ranks": self.ranks,
            "shards": self.shards,
            "updates_per_shard": self.updates_per_shard,
        }
