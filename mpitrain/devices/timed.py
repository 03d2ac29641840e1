"""How long copies take, by the device's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpitrain.core.arrays import Array
from mpitrain.devices.transfer import DeviceTransfer, Vector


class TimedTransfer(DeviceTransfer):
    """A transfer that adds up the time of its copies, without one more wait.

    A copy counts when its part's next copy in the same direction is enqueued, or when ``seconds``
    is called; if it is not over by then, it does not count. None is missed where the host calls
    ``on_host`` in between, as it does before it writes and to read.
    """

    def __init__(self, xp: Any, device: Array, host: Vector, parts: Sequence[slice]) -> None:
        """Prepare the copies; see DeviceTransfer."""
        super().__init__(xp, device, host, parts)
        self._seconds = {self._runtime.memcpyHostToDevice: 0.0, self._runtime.memcpyDeviceToHost: 0}
        self._watches = {kind: [_Watch(xp) for _ in parts] for kind in self._seconds}

    def seconds(self) -> tuple[float, float]:
        """Return the time of all copies up and of all copies down since the last call."""
        for kind, watches in self._watches.items():
            self._seconds[kind] += sum(watch.take() for watch in watches)
        up, down = self._seconds.values()
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return up, down

    def _copy(self, copy: tuple[int, int, int, int], part: int) -> None:
        kind = copy[-1]
        watch = self._watches[kind][part]
        self._seconds[kind] += watch.take()
        watch.start(self._copies)
        super()._copy(copy, part)
        watch.stop(self._copies)


class _Watch:
    """Takes the time between two points of a stream."""

    def __init__(self, xp: Any) -> None:
        self._cuda = xp.cuda
        self._began, self._ended = xp.cuda.Event(), xp.cuda.Event()
        self._is_used = False

    def start(self, stream: Any) -> None:
        self._began.record(stream)

    def stop(self, stream: Any) -> None:
        self._ended.record(stream)
        self._is_used = True

    def take(self) -> float:
        """Return the seconds of the last round, once; 0 when there is none or it is not over."""
        if not (self._is_used and self._ended.done):
            return 0.0
        self._is_used = False
        return float(self._cuda.get_elapsed_time(self._began, self._ended)) / 1000
