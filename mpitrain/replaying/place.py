"""A simulated rank as the log and the run file see it: no MPI, one process."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from mpitrain.core.console import tell


@dataclass(frozen=True)
class Place:
    """Where a simulated rank is: on this host, as all others."""

    rank: int
    size: int
    host: str = field(default_factory=socket.gethostname)
    library: str = "none"
    thread_level: str = "none"
    cores: str = ""  # it takes none from the others

    @property
    def hosts(self) -> list[str]:
        """Name of every rank's host."""
        return [self.host] * self.size

    @property
    def is_root(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def speak(self, text: str) -> None:
        """Say a line to people."""
        tell(f"mpitrain: {text}\n")
