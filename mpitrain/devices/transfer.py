"""A vector with a host's and a device's side, and the copies between the two, part by part.

On a device, copies run on a stream of their own beside the kernels, and the host goes on. What
orders them is written here once, so that callers may read their program as if every call were
done at once:

    on_host     the host waits for the last copy of that part; so it reads what came down, and
                never writes over what is still going up
    upload      starts when the kernels enqueued before are done (they may read the old values);
                kernels enqueued later wait for it (they read the new ones)
    download    starts when the kernels enqueued before are done (they write what is copied);
                kernels enqueued later wait for it (they may write over it)

Copies of one vector keep the order of their calls. A step over parameters read from elsewhere:

    for part in walk:
        read(parameters.on_host(part))      # while the part before is under way
        parameters.upload(part)
    kernels: gradient and update
    change.download(walk)
    for part in walk:
        write(change.on_host(part))         # while the parts behind are under way

Without a device the host's side is the device's side and the same calls do nothing. So a program
for both lets host and kernels take turns at a part: what one side has written over, the other side
may find in its own memory or not.

What is NOT guaranteed: anything about kernels on other streams than the one that was current when
the transfer was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.errors import ClosedError
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.devices.page_locked import page_locked

Vector = npt.NDArray[Any]


class Transfer(Protocol):
    """One vector on the host and on the device; see the module's exposition.

    Attributes:
        host: (n,), host; its parts may be touched only as ``on_host`` returns them.
        device: (n,), where the kernels run; the same memory as ``host`` without a device.
        device_parts: its parts, views.
        watch: is told of every copy, if it is set; nothing is copied without a device.
    """

    host: Vector
    device: Array
    device_parts: Sequence[Array]
    watch: CopyWatch | None

    def on_host(self, part: int) -> Vector:
        """Wait for the last copy of a part; return it for the host to read and to write.

        Returns:
            (length of the part,), a view of ``host``, the host's until the next copy of it.

        Raises:
            ClosedError: after close.
        """

    def upload(self, part: int) -> None:
        """Enqueue the copy of a part from the host to the device.

        Raises:
            ClosedError: after close.
        """

    def download(self, order: Iterable[int]) -> None:
        """Enqueue the copies of parts from the device to the host, one after the other.

        Raises:
            ClosedError: after close.
        """

    def close(self) -> None:
        """Wait for all copies, so that the memory may go; a second call does nothing."""


def transfer_of(xp: Any, vector: Array, parts: Sequence[slice]) -> Transfer:
    """Return the transfer of a vector, with a page-locked twin where it is on a device.

    Args:
        xp: NumPy or CuPy, whose ``vector`` is.
        vector: (n,), contiguous, host or device; kept.
        parts: ranges of it that do not overlap, in any order.
    """
    if xp is np:
        return HostTransfer(vector, parts)
    return DeviceTransfer(xp, vector, page_locked(xp, vector.size, vector.dtype), parts)


def pieces(size: int, itemsize: int, most_bytes: int = 16 << 20) -> list[slice]:
    """Cut a vector into parts of equal size; the last may be shorter.

    Args:
        size: elements of the vector, >= 0.
        itemsize: bytes of an element.
        most_bytes: of a part, a multiple of 16, so that all parts are equally far from a
            multiple of 16 bytes.
    """
    length = most_bytes // itemsize
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


class HostTransfer:
    """Where there is no device: both sides are one memory; see Transfer."""

    def __init__(self, vector: Vector, parts: Sequence[slice]) -> None:
        self.host = vector
        self.device = vector
        self._parts: list[Vector] = [vector[part] for part in parts]
        self.device_parts: Sequence[Array] = self._parts
        self.watch: CopyWatch | None = None
        self._is_closed = False

    def on_host(self, part: int) -> Vector:
        """Return a part; see Transfer."""
        self._check_open()
        return self._parts[part]

    def upload(self, part: int) -> None:
        """Nothing needs to move; see Transfer."""
        self._check_open()

    def download(self, order: Iterable[int]) -> None:
        """Nothing needs to move; see Transfer."""
        self._check_open()

    def close(self) -> None:
        """Nothing is held; see Transfer."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()


class DeviceTransfer:
    """Copies on a stream of its own, ordered with the kernels by events; see Transfer.

    A call allocates nothing. The host's side should be page-locked: else the same numbers come
    out, but the host waits for every copy. Events that the host waits for let it sleep, because
    ranks may exceed cores.
    """

    def __init__(self, xp: Any, device: Array, host: Vector, parts: Sequence[slice]) -> None:
        """Prepare the copies between two vectors; kernels run on the stream that is current now.

        Args:
            xp: CuPy.
            device: (n,), contiguous, device; kept.
            host: (n,), dtype of ``device``, contiguous, host, page-locked; kept.
            parts: ranges of the vectors that do not overlap, in any order.
        """
        assert (device.size, device.dtype) == (host.size, host.dtype)
        _check_apart(parts)
        self.host = host
        self.device = device
        self.device_parts: Sequence[Array] = [device[part] for part in parts]
        self.watch: CopyWatch | None = None
        self._host_parts = [host[part] for part in parts]
        self._runtime = xp.cuda.runtime
        up, down = self._runtime.memcpyHostToDevice, self._runtime.memcpyDeviceToHost
        places = [
            (on_device.data.ptr, on_host.ctypes.data, on_host.nbytes)
            for on_device, on_host in zip(self.device_parts, self._host_parts, strict=True)
        ]
        self._up = [(to, from_, num_bytes, up) for to, from_, num_bytes in places]
        self._down = [(to, from_, num_bytes, down) for from_, to, num_bytes in places]
        self._kernels = xp.cuda.get_current_stream()
        # an ordinary stream would take turns with the null stream
        self._copies = xp.cuda.Stream(non_blocking=True)
        self._turn = xp.cuda.Event(disable_timing=True)
        self._copied = [xp.cuda.Event(block=True, disable_timing=True) for _ in parts]
        self._is_closed = False

    def on_host(self, part: int) -> Vector:
        """Wait for the last copy of a part and return it; see Transfer."""
        self._check_open()
        if self.watch is None:
            self._copied[part].synchronize()  # returns at once before the first copy
        else:
            self.watch.wait_for(self._copied[part])
        return self._host_parts[part]

    def upload(self, part: int) -> None:
        """Copy a part up, after earlier and before later kernels; see Transfer."""
        self._check_open()
        self._follow(self._copies, self._kernels)
        self._copy(self._up[part], part)
        self._follow(self._kernels, self._copies)

    def download(self, order: Iterable[int]) -> None:
        """Copy parts down, after earlier and before later kernels; see Transfer."""
        self._check_open()
        self._follow(self._copies, self._kernels)
        for part in order:
            self._copy(self._down[part], part)
        self._follow(self._kernels, self._copies)

    def close(self) -> None:
        """Wait for all copies; see Transfer."""
        if not self._is_closed:
            self._is_closed = True
            self._copies.synchronize()

    def _follow(self, later: Any, earlier: Any) -> None:
        """Let what one stream is given from now on start after what another has been given."""
        self._turn.record(earlier)
        later.wait_event(self._turn)  # for this record, whatever becomes of the event

    def _copy(self, copy: tuple[int, int, int, int], part: int) -> None:
        to, from_, num_bytes, kind = copy
        watch = self.watch
        if watch is not None:
            watch.begin(self._copies)
        if num_bytes:
            self._runtime.memcpyAsync(to, from_, num_bytes, kind, self._copies.ptr)
        self._copied[part].record(self._copies)
        if watch is not None:
            watch.end(self._copies, num_bytes, kind)

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()


def _check_apart(parts: Sequence[slice]) -> None:
    ordered = sorted((part.start, part.stop) for part in parts)
    for (_, stop), (start, _) in pairwise(ordered):
        assert stop <= start, f"parts overlap at element {start}"


def _closed() -> ClosedError:
    return ClosedError("the transfer is already closed")
