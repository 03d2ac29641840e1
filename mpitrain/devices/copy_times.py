"""How long copies take, and how long the host waits for them; for measurements."""

from __future__ import annotations

import time
from typing import Any, Protocol


class CopyWatch(Protocol):
    """Is told of copies and waits; see DeviceTransfer."""

    def begin(self, stream: Any) -> None:
        """A copy is about to be enqueued."""

    def end(self, stream: Any, num_bytes: int, kind: int) -> None:
        """It was enqueued; ``kind`` is cudaMemcpyKind."""

    def wait_for(self, event: Any) -> None:
        """Wait for a copy, as the host has to."""


class CopyTimes:
    """Waits for each copy and adds up what they take by the device's own clock.

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
        """Note when it begins; see CopyWatch."""
        self._began.record(stream)

    def end(self, stream: Any, num_bytes: int, kind: int) -> None:
        """Wait for it and count it; see CopyWatch."""
        self._ended.record(stream)
        self._ended.synchronize()
        way = int(kind != self._up)
        self.seconds[way] += float(self._elapsed_ms(self._began, self._ended)) / 1000
        self.num_bytes[way] += num_bytes

    def wait_for(self, event: Any) -> None:
        """It is over."""


class CopyWaits:
    """Lets copies go on beside all else, and adds up how long the host waits for them.

    Attributes:
        seconds: so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def begin(self, stream: Any) -> None:
        """See CopyWatch."""

    def end(self, stream: Any, num_bytes: int, kind: int) -> None:
        """See CopyWatch."""

    def wait_for(self, event: Any) -> None:
        """Wait, and add the time; see CopyWatch."""
        began_s = time.perf_counter()
        event.synchronize()
        self.seconds += time.perf_counter() - began_s
