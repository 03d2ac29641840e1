"""Host memory that a device reads and writes where it is, over its bus."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mpitrain.core.arrays import Array
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.devices.transfer import Vector

PORTABLE, MAPPED = 1, 2  # cudaHostRegisterPortable, cudaHostRegisterMapped


class Move(NamedTuple):
    """Something that crosses the bus, ready to be enqueued as often as it is wanted.

    Attributes:
        enqueue: after the kernels enqueued before, and before later ones.
        num_bytes: that cross.
        kind: cudaMemcpyKind.
    """

    enqueue: Callable[[], object]
    num_bytes: int
    kind: int


class InPlace:
    """Keeps host memory page-locked, copies from and to it, and gives arrays of the device over it.

    Kernels may read and write such arrays. What the host wrote before a kernel or a copy was
    enqueued it finds, and what it wrote the host finds once it has waited for it. All goes through
    the stream that is current when it is enqueued.

    Attributes:
        watch: is told of every move, if it is set.
    """

    def __init__(self, xp: Any, memory: Sequence[Vector]) -> None:
        """Page-lock memory.

        Args:
            xp: CuPy.
            memory: of this process or shared, each contiguous; must outlive this object's use.

        Raises:
            CUDARuntimeError: the system or the driver refuses; nothing stays locked.
        """
        self.watch: CopyWatch | None = None
        self._xp, self._runtime = xp, xp.cuda.runtime
        self._up, self._down = self._runtime.memcpyHostToDevice, self._runtime.memcpyDeviceToHost
        self._locked: list[int] = []
        try:
            for start, stop in _pages(memory):
                self._runtime.hostRegister(start, stop - start, PORTABLE | MAPPED)
                self._locked.append(start)
        except xp.cuda.runtime.CUDARuntimeError:
            self.close()
            raise

    def array(self, vector: Vector) -> Array:
        """Return a vector as an array of the device.

        Args:
            vector: (n,), within what is locked.

        Returns:
            (n,), same dtype and elements.
        """
        address = self._runtime.pointerGetAttributes(vector.ctypes.data).devicePointer
        memory = self._xp.cuda.UnownedMemory(address, vector.nbytes, self)
        pointer = self._xp.cuda.MemoryPointer(memory, 0)
        return self._xp.ndarray(vector.shape, vector.dtype, pointer)

    def fetch(self, out: Array, vector: Vector) -> Move:
        """Return the copy of a vector to the device.

        Args:
            out: (n,), contiguous, device; kept.
            vector: (n,), same dtype, within what is locked; kept.
        """
        place = out.data.ptr, vector.ctypes.data, vector.nbytes, self._up
        return self._copy(place, (out, vector))

    def send(self, out: Vector, vector: Array) -> Move:
        """Return the copy of a vector from the device.

        Args:
            out: (n,), within what is locked; kept.
            vector: (n,), same dtype, contiguous, device; kept.
        """
        place = out.ctypes.data, vector.data.ptr, out.nbytes, self._down
        return self._copy(place, (out, vector))

    def within(self, out: Array, vector: Array) -> Move:
        """Return the copy of a vector on the device, which crosses nothing.

        Args:
            out: (n,), contiguous, device; kept.
            vector: (n,), same dtype, contiguous, device; kept.
        """
        place = out.data.ptr, vector.data.ptr, vector.nbytes, self._runtime.memcpyDeviceToDevice
        return self._copy(place, (out, vector))._replace(num_bytes=0)

    def write(self, out: Vector, kernel: Callable[[], object]) -> Move:
        """Return a kernel's run as a move: it writes ``out``, within what is locked."""
        return Move(kernel, out.nbytes, self._down)

    def run(self, moves: Iterable[Move]) -> None:
        """Enqueue moves, one after the other."""
        watch = self.watch
        stream = None if watch is None else self._xp.cuda.get_current_stream()
        for enqueue, num_bytes, kind in moves:
            if watch is None:
                enqueue()
            else:
                watch.begin(stream)
                enqueue()
                watch.end(stream, num_bytes, kind)

    def close(self) -> None:
        """Unlock it; nothing may touch it any more; a second call does nothing."""
        while self._locked:
            self._runtime.hostUnregister(self._locked.pop())

    def _copy(self, place: tuple[int, int, int, int], kept: tuple[Array, Array]) -> Move:
        copy, current = self._runtime.memcpyAsync, self._xp.cuda.get_current_stream
        *_, num_bytes, kind = place

        def enqueue(_kept: object = kept) -> None:
            if num_bytes:
                copy(*place, current().ptr)

        return Move(enqueue, num_bytes, kind)


def _pages(memory: Sequence[Vector]) -> list[tuple[int, int]]:
    """Return the ranges of whole pages that hold some memory, those that meet joined."""
    size = mmap.PAGESIZE
    joined: list[tuple[int, int]] = []
    for vector in sorted(memory, key=lambda vector: vector.ctypes.data):
        first = vector.ctypes.data
        start, stop = first // size * size, -(-(first + vector.nbytes) // size) * size
        if joined and start <= joined[-1][1]:
            start, stop = joined[-1][0], max(stop, joined.pop()[1])
        joined.append((start, stop))
    return joined
