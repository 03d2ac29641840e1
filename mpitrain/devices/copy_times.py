"""How long copies take, by the device's own clock; for measurements."""

from __future__ import annotations

from typing import Any


class CopyTimes:
    """Told of every copy of some transfers, it waits for each and adds up times and bytes.

    So nothing is done beside a copy, and what the rest of a step takes is what it takes alone.

    Attributes:
        seconds: of all copies so far, [up, down].
        num_bytes: of all copies so far, [up, down].
    """

    def __init__(self, xp: Any) -> None:
        """Prepare the clock of the device that is current in CuPy."""
        self.seconds = [0.0, 0.0]
        self.num_bytes = [0, 0]
        self._up = xp.cuda.runtime.memcpyHostToDevice
        self._elapsed_ms = xp.cuda.get_elapsed_time
        self._began, self._ended = xp.cuda.Event(), xp.cuda.Event()

    def begin(self, stream: Any) -> None:
        """Note that a copy is about to be enqueued."""
        self._began.record(stream)

    def end(self, stream: Any, num_bytes: int, kind: int) -> None:
        """Wait for the copy that was enqueued since ``begin``, and count it."""
        self._ended.record(stream)
        self._ended.synchronize()
        way = int(kind != self._up)
        self.seconds[way] += float(self._elapsed_ms(self._began, self._ended)) / 1000
        self.num_bytes[way] += num_bytes
