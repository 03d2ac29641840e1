"""A stand-in for CuPy whose streams run as late, or in as odd an order, as a program allows.

What is put into a stream waits in its queue. It runs when the host waits for something that comes
behind it, or when chance picks it; always in the order of its stream and after what its stream was
told to wait for. So a wait that a program lacks shows as wrong numbers.

Only what mpitrain/devices uses is here, under CuPy's names and with CUDA's rules: an event means
its latest record, a stream waits for the record that was latest when it was told to, and an event
without a record holds nobody up. Device memory is host memory, NaN until it is written.
"""

from __future__ import annotations

import ctypes
import random
import sys
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

UP, DOWN, WITHIN = 1, 2, 3  # cudaMemcpyKind
MOST_LOCKED_BYTES = 1 << 30

Site = tuple[int, ...]  # a chain of lines in mpitrain/devices, innermost first


class FakeArray(np.ndarray):  # type: ignore[type-arg]
    """An array on the device."""

    @property
    def data(self) -> Any:
        """Where its memory begins."""
        return SimpleNamespace(ptr=self.ctypes.data)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises."""


class FakeCupy:
    """The module.

    Attributes:
        num_allocations: of memory, streams and events so far.
        num_under_way: copies that were enqueued and have not run.
        sites: where records and waits were asked for so far.
        left_out: the one of them whose records and waits do nothing.
        locked: ranges of page-locked host memory, (start, stop).
        now_ms: the device's clock; a copy takes 1 ms for a byte.
    """

    def __init__(self, seed: int | None = None) -> None:
        """Run everything as late as possible, or in a random order if there is a seed."""
        self.num_allocations = 0
        self.num_under_way = 0
        self.sites: set[Site] = set()
        self.left_out: Site | None = None
        self.locked: list[tuple[int, int]] = []
        self.now_ms = 0.0
        self._random = None if seed is None else random.Random(seed)
        self._on_device: list[tuple[int, int]] = []
        self._kept: list[object] = []
        self._streams: list[FakeStream] = []
        self._null = FakeStream(self, 0)
        self._streams.append(self._null)
        self.cuda = SimpleNamespace(
            Stream=self._new_stream,
            Event=self._new_event,
            get_current_stream=lambda: self._null,
            get_elapsed_time=_elapsed_ms,
            PinnedMemory=self._new_page_locked,
            UnownedMemory=lambda start, size, _owner: (ctypes.c_char * size).from_address(start),
            MemoryPointer=lambda memory, _offset: memory,
            PinnedMemoryPointer=lambda memory, _offset: memory,
            runtime=SimpleNamespace(
                memcpyHostToDevice=UP,
                memcpyDeviceToHost=DOWN,
                memcpyDeviceToDevice=WITHIN,
                hostRegister=self._register,
                hostUnregister=self._unregister,
                pointerGetAttributes=lambda address: SimpleNamespace(devicePointer=address),
                memcpyAsync=self._memcpy,
                CUDARuntimeError=CUDARuntimeError,
            ),
        )

    def empty(self, size: int, dtype: npt.DTypeLike) -> FakeArray:
        """Return a device vector full of NaN."""
        array = np.full(size, np.nan, dtype).view(FakeArray)
        self._on_device.append(_range_of(array))
        self._keep(array)
        return array

    def zeros(self, size: int, dtype: npt.DTypeLike) -> FakeArray:
        """Return a device vector of zeros."""
        array = self.empty(size, dtype)
        array.fill(0)
        return array

    def ndarray(self, shape: Any, dtype: npt.DTypeLike, memory: Any) -> FakeArray:
        """Return memory of the host as an array of the device."""
        return np.frombuffer(memory, dtype).reshape(shape).view(FakeArray)

    def launch(self, kernel: Callable[..., object], *arguments: object) -> None:
        """Put a kernel into the current stream."""
        self._null.put(lambda: kernel(*arguments))

    def is_left_out(self) -> bool:
        """Note where a record or a wait is asked for; tell whether it is to do nothing."""
        site = _site(sys._getframe(2))
        self.sites.add(site)
        return site == self.left_out

    def stir(self) -> None:
        """Let chance run some of what may run now."""
        while self._random is not None and self._random.random() < 0.6:
            ready = [stream for stream in self._streams if stream.may_run]
            if not ready:
                return
            self._random.choice(ready).run_one()

    def _new_stream(self, *, non_blocking: bool) -> FakeStream:
        assert non_blocking, "it would wait for the null stream"
        stream = FakeStream(self, len(self._streams))
        self._streams.append(stream)
        self._keep(stream)
        return stream

    def _new_event(self, *, block: bool = False, disable_timing: bool = False) -> FakeEvent:
        event = FakeEvent(self, has_time=not disable_timing)
        self._keep(event)
        return event

    def _new_page_locked(self, size: int) -> bytearray:
        if size > MOST_LOCKED_BYTES:
            message = "cudaErrorMemoryAllocation: out of memory"
            raise CUDARuntimeError(message)
        memory = bytearray(b"\xff" * size)
        self.locked.append(_range_of(np.frombuffer(memory, np.uint8)))
        self._keep(memory)
        return memory

    def _register(self, start: int, num_bytes: int, _flags: int) -> None:
        self.locked.append((start, start + num_bytes))

    def _unregister(self, start: int) -> None:
        assert not any(stream.is_busy for stream in self._streams), "copies are under way"
        self.locked = [place for place in self.locked if place[0] != start]

    def _keep(self, thing: object) -> None:
        self.num_allocations += 1
        self._kept.append(thing)

    def _memcpy(self, to: int, from_: int, num_bytes: int, kind: int, stream: int) -> None:
        hosts = {UP: (from_,), DOWN: (to,), WITHIN: ()}[kind]
        for place in hosts:
            assert _is_in(place, num_bytes, self.locked)
        for place in {to, from_}.difference(hosts):
            assert _is_in(place, num_bytes, self._on_device)

        def move() -> None:
            ctypes.memmove(to, from_, num_bytes)
            self.num_under_way -= 1
            self.now_ms += num_bytes

        self.num_under_way += 1
        self._streams[stream].put(move)


class Mark:
    """One record of an event."""

    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream
        self.is_done = False
        self.done_ms = np.nan

    def reach(self) -> None:
        """Run what it takes until this record is done."""
        while not self.is_done:
            self.stream.run_one()


class FakeEvent:
    """An event, by its latest record."""

    def __init__(self, fake: FakeCupy, *, has_time: bool) -> None:
        self.latest: Mark | None = None
        self.has_time = has_time
        self._fake = fake

    @property
    def done(self) -> bool:
        """Whether the latest record is done."""
        return self.latest is None or self.latest.is_done

    def record(self, stream: FakeStream) -> None:
        """Put a mark into a stream."""
        if self._fake.is_left_out():
            return
        self.latest = mark = Mark(stream)

        def pass_by() -> None:
            mark.is_done = True
            mark.done_ms = self._fake.now_ms

        stream.put(pass_by)

    def synchronize(self) -> None:
        """Let the host wait for the latest record."""
        if self._fake.is_left_out():
            return
        self._fake.stir()
        if self.latest is not None:
            self.latest.reach()


class FakeStream:
    """A queue of what is to be done and of marks to wait for."""

    def __init__(self, fake: FakeCupy, ptr: int) -> None:
        self.ptr = ptr
        self._fake = fake
        self._queue: deque[Callable[[], None] | Mark] = deque()

    @property
    def may_run(self) -> bool:
        """Whether there is something to do that waits for nobody."""
        if not self._queue:
            return False
        first = self._queue[0]
        return not isinstance(first, Mark) or first.is_done

    @property
    def is_busy(self) -> bool:
        """Whether something is left to be done."""
        return bool(self._queue)

    def put(self, action: Callable[[], None] | Mark) -> None:
        """Put something at the queue's end."""
        self._queue.append(action)
        self._fake.stir()

    def wait_event(self, event: FakeEvent) -> None:
        """Let what follows wait for the event's latest record."""
        if not self._fake.is_left_out() and event.latest is not None:
            self.put(event.latest)

    def synchronize(self) -> None:
        """Let the host wait for all that is in the queue."""
        if self._fake.is_left_out():
            return
        while self._queue:
            self.run_one()

    def run_one(self) -> None:
        """Run the first thing in the queue, and before it what it waits for."""
        first = self._queue.popleft()
        if isinstance(first, Mark):
            first.reach()
        else:
            first()


def _elapsed_ms(first: FakeEvent, last: FakeEvent) -> float:
    assert first.has_time
    assert last.has_time
    assert first.latest is not None
    assert last.latest is not None
    assert last.latest.is_done, "CuPy raises: not ready"
    return last.latest.done_ms - first.latest.done_ms


def _is_in(place: int, num_bytes: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= place and place + num_bytes <= stop for start, stop in ranges)


def _range_of(array: npt.NDArray[Any]) -> tuple[int, int]:
    start = array.ctypes.data
    return start, start + array.nbytes


def _site(frame: Any) -> Site:
    lines: list[int] = []
    while "mpitrain/devices" in frame.f_code.co_filename:
        lines.append(frame.f_lineno)
        frame = frame.f_back
    return tuple(lines)
