"""What a probe or a trial of a window found; plain values, which need no MPI."""

from __future__ import annotations

from dataclasses import dataclass

BUSY_S = 0.1  # how long the probe keeps the target outside MPI
BLOCKED_SHARE = 0.25  # of BUSY_S: a read that took longer had to wait for the target


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the probe measured and chose; the same on every rank.

    Attributes:
        add_mechanism: "accumulate" or "get_add_put", the faster one.
        progress: remedy in force: "none" or "thread".
        read_s: longest read from a target busy for 0.1 s outside MPI, no remedy.
        remedied_read_s: the same with the remedy in force.
    """

    add_mechanism: str
    progress: str
    read_s: float
    remedied_read_s: float

    @property
    def is_blocked(self) -> bool:
        """Whether reads still wait for a busy target, remedy included."""
        return self.remedied_read_s > BLOCKED_SHARE * BUSY_S

    def text(self) -> str:
        """Return one line for the log: what was chosen and why."""
        return (
            f"{self.progress} (read from a busy target {self.read_s * 1e3:.2f} ms, "
            f"with remedy {self.remedied_read_s * 1e3:.2f} ms)"
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How it went; the same on every rank.

    Attributes:
        window_error: why no window could be made; empty when it could.
        exactness_error: what was wrong with reads and writes; empty when nothing was.
        findings: what the probe measured; None when it did not come to that.
    """

    window_error: str = ""
    exactness_error: str = ""
    findings: Findings | None = None
