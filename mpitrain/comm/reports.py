"""Short messages from every rank to rank 0 that nobody waits for.

Rank 0 expects one report of each other rank at a time; the others send theirs when they have it.
Both only look in between, at their own pace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from mpi4py import MPI

from mpitrain.comm.world import World

REPORT_TAG = 5
REPORT_BYTES = 2048


class Reports:
    """One JSON object per rank and round, collected on rank 0."""

    def __init__(self, world: World) -> None:
        """Reserve the memory.

        Collective: no.
        """
        self._world = world
        count = world.size if world.is_root else 1
        self._texts = np.zeros((count, REPORT_BYTES), np.uint8)
        self._requests: list[MPI.Request] = []

    def expect(self) -> None:
        """Begin a round on rank 0; on the others, nothing.

        Collective: no; every rank sends one report in each round.
        """
        if self._world.is_root:
            self._requests = [
                self._world.comm.Irecv([self._texts[rank], MPI.BYTE], rank, REPORT_TAG)
                for rank in range(1, self._world.size)
            ]

    def send(self, report: Mapping[str, Any]) -> None:
        """Send this rank's report of the round; rank 0 has none to send.

        Args:
            report: JSON-able; short.

        Collective: no.
        """
        text = json.dumps(report, ensure_ascii=False).encode()
        assert len(text) <= REPORT_BYTES, "a report must be short"
        self._texts[0, :] = ord(" ")
        self._texts[0, : len(text)] = np.frombuffer(text, np.uint8)
        self._requests = [self._world.comm.Isend([self._texts[0], MPI.BYTE], 0, REPORT_TAG)]

    def is_complete(self) -> bool:
        """Tell whether what was begun is done: all are here, or this rank's has gone.

        Collective: no.
        """
        return not self._requests or MPI.Request.Testall(self._requests)

    def all(self) -> list[dict[str, Any]]:
        """Return the reports of the round by rank, from rank 1 on; ends the round.

        Collective: no; rank 0 calls it when the round is complete.
        """
        self._requests = []
        return [json.loads(row.tobytes().decode()) for row in self._texts[1:]]

    def missing(self) -> list[int]:
        """Return the ranks whose report is not here yet."""
        return [
            rank
            for rank, request in enumerate(self._requests, start=1)
            if request != MPI.REQUEST_NULL and not request.Get_status()
        ]
