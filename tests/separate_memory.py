"""A CuPy without a GPU for whole runs: device memory that host code cannot touch by mistake.

Arrays are no arrays of NumPy, so whatever mixes the two sides without a copy fails as with CuPy.
Array functions are NumPy's; kernels are CUDA's text, compiled for the CPU (``emulation``). Streams
do everything at once: what they may put off is tested in tests/unit/devices.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tests.unit.kernels.emulation import DeviceArray as EmulatedArray
from tests.unit.kernels.emulation import Emulation

GIB = 1 << 30
NAME = "Separate Memory 1000"
COPY_MS = 0.25  # between any two events


class DeviceArray(NDArrayOperatorsMixin):
    """An array on the device: what CuPy's has, as far as the package asks for it."""

    def __init__(self, values: Any, dtype: Any = None, memory: Any = None) -> None:
        if memory is not None:  # (shape, dtype, memory), as CuPy's is made
            values = np.frombuffer(memory, dtype).reshape(values)
        self.on_device = values

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        """Run a function of NumPy as CuPy's arrays do."""
        assert method == "__call__"
        return _on_device(ufunc)(*inputs, **settings)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse to become an array of NumPy, as CuPy's arrays do."""
        message = "Implicit conversion to a NumPy array is not allowed"
        raise TypeError(message)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.on_device, name)
        return _on_device(found) if callable(found) else _wrapped(found)

    def __getitem__(self, key: Any) -> Any:
        return DeviceArray(self.on_device[_key(key)])

    def __setitem__(self, key: Any, values: Any) -> None:
        self.on_device[_key(key)] = _unwrapped(values)

    def __len__(self) -> int:
        return len(self.on_device)

    def __float__(self) -> float:
        return float(self.on_device)

    def __bool__(self) -> bool:
        return bool(self.on_device)

    @property
    def data(self) -> Any:
        """Where its memory begins."""
        return SimpleNamespace(ptr=self.on_device.ctypes.data)

    def tolist(self) -> Any:
        """Return the values."""
        return self.on_device.tolist()

    def get(self, out: Any = None) -> Any:
        """Return a copy on the host."""
        if out is None:
            return self.on_device.copy()
        _check_alike(out, self.on_device)
        np.copyto(out, self.on_device)
        return out

    def set(self, values: Any) -> None:
        """Copy from the host."""
        _check_alike(values, self.on_device)
        np.copyto(self.on_device, values)


class Refused(RuntimeError):
    """CuPy's CUDARuntimeError."""


class SeparateMemory:
    """Stands for the module.

    Attributes:
        num_allocations: arrays made so far, views left out.
        num_waits: times the host has waited for the kernels' stream.
        limit_bytes: of the memory pool.
        registered: host memory that is page-locked, start -> stop.
        refuses: to lock any.
    """

    __version__ = version = "14.2.0"
    name = NAME
    ndarray = DeviceArray

    def __init__(self, num: int = 1) -> None:
        """Let the process see ``num`` devices."""
        self._emulation = Emulation()
        self.num_allocations = 0
        self.num_waits = 0
        self.limit_bytes = 0
        self.registered: dict[int, int] = {}
        self.refuses = False
        runtime = SimpleNamespace(
            CUDARuntimeError=Refused,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyDeviceToDevice=3,
            memcpyAsync=lambda to, source, num_bytes, _kind, _stream: ctypes.memmove(
                to, source, num_bytes
            ),
            hostRegister=self._register,
            hostUnregister=self._unregister,
            pointerGetAttributes=self._attributes,
            runtimeGetVersion=lambda: 13000,
            driverGetVersion=lambda: 13000,
            getDeviceCount=lambda: num,
            memGetInfo=lambda: (79 * GIB, 80 * GIB),
            getDeviceProperties=lambda index: {"name": NAME.encode(), "uuid": bytes([index + 1])},
            deviceGetPCIBusId=lambda index: f"0000:{index + 1:02X}:00.0",
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            Device=lambda _index: SimpleNamespace(use=lambda: None),
            Stream=lambda **_: _Stream(),
            Event=lambda **_: _Event(),
            get_current_stream=lambda: _KernelStream(self),
            get_elapsed_time=lambda _began, _ended: COPY_MS,
            PinnedMemory=bytearray,
            PinnedMemoryPointer=lambda memory, _offset: memory,
            UnownedMemory=lambda start, size, _owner: (ctypes.c_char * size).from_address(start),
            MemoryPointer=lambda memory, _offset: memory,
            is_available=lambda: True,
        )

    def __getattr__(self, name: str) -> Any:
        return _on_device(getattr(np, name))

    def get_default_memory_pool(self) -> Any:
        """Return what can be limited."""
        return SimpleNamespace(set_limit=lambda size: setattr(self, "limit_bytes", size))

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> Any:  # CuPy's name
        """Return kernels compiled for the CPU."""
        module = self._emulation.RawModule(code=code, options=options)
        return SimpleNamespace(get_function=lambda name: _Kernel(module.get_function(name)))

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """Return an array of the same values on the device."""
        if isinstance(values, DeviceArray):
            return values
        return self._new(np.asarray(values, dtype))

    def array(self, values: Any, dtype: Any = None) -> Any:
        """Return a copy on the device."""
        on_host = values.on_device if isinstance(values, DeviceArray) else values
        return self._new(np.asarray(on_host, dtype))

    def zeros(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return zeros."""
        return self._new(np.zeros(shape, dtype))

    def ones(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return ones."""
        return self._new(np.ones(shape, dtype))

    def empty(self, shape: Any, dtype: Any = np.float64) -> Any:
        """Return an array of which nothing is known: full of 0xff, which is NaN."""
        array = self._new(np.zeros(shape, dtype))
        array.on_device.reshape(-1).view(np.uint8)[...] = 0xFF
        return array

    def empty_like(self, array: DeviceArray) -> Any:
        """Return an array like another, of which nothing is known."""
        return self.empty(array.shape, array.dtype)

    def _register(self, start: int, num_bytes: int, flags: int) -> None:
        assert flags == 3, "other ranks' contexts cannot map it"
        if self.refuses or any(
            a < start + num_bytes and start < b for a, b in self.registered.items()
        ):
            message = "cudaErrorHostMemoryAlreadyRegistered"
            raise Refused(message)
        self.registered[start] = start + num_bytes

    def _unregister(self, start: int) -> None:
        stop = self.registered.pop(start)
        assert is_mapped(start, stop), "it is gone already"

    def _attributes(self, address: int) -> Any:
        assert any(start <= address < stop for start, stop in self.registered.items())
        return SimpleNamespace(devicePointer=address)

    def _new(self, values: np.ndarray[Any, Any]) -> DeviceArray:
        self.num_allocations += 1
        return DeviceArray(self._emulation.asarray(values).view(np.ndarray))


class _Stream:
    ptr = 0

    def wait_event(self, _event: Any) -> None:
        """Everything is over."""

    def synchronize(self) -> None:
        """Everything is over."""


class _KernelStream(_Stream):
    def __init__(self, module: SeparateMemory) -> None:
        self._module = module

    def synchronize(self) -> None:
        """Everything is over."""
        self._module.num_waits += 1


class _Event:
    def record(self, _stream: Any = None) -> None:
        """Everything is over."""

    def synchronize(self) -> None:
        """Everything is over."""


class _Kernel:
    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: Iterable[Any]
    ) -> None:
        self._function(grid, block, tuple(_for_kernel(argument) for argument in arguments))


def _check_alike(on_host: Any, on_device: np.ndarray[Any, Any]) -> None:
    """Copies are between arrays of one type and shape without gaps."""
    assert type(on_host) is np.ndarray
    assert (on_host.dtype, on_host.shape) == (on_device.dtype, on_device.shape)
    assert on_host.flags.c_contiguous
    assert on_device.flags.c_contiguous


def _for_kernel(argument: Any) -> Any:
    if isinstance(argument, DeviceArray):
        return argument.on_device.view(EmulatedArray)
    assert isinstance(argument, np.generic), f"{type(argument)} is not on the device"
    return argument


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of NumPy for arrays on the device; subnormal results are 0, as CuPy's."""
    is_ufunc = isinstance(function, np.ufunc)

    def run(*arguments: Any, **settings: Any) -> Any:
        named = {name: _all_unwrapped(value) for name, value in settings.items()}
        with np.errstate(all="ignore"):
            result = function(*map(_unwrapped, arguments), **named)
        if is_ufunc and isinstance(result, np.ndarray) and result.dtype == np.float32:
            result[np.abs(result) < np.finfo(np.float32).tiny] = 0
        return _wrapped(result)

    return run


def _all_unwrapped(value: Any) -> Any:
    return tuple(map(_unwrapped, value)) if isinstance(value, tuple) else _unwrapped(value)


def _wrapped(value: Any) -> Any:
    return DeviceArray(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _unwrapped(value: Any) -> Any:
    """Return what is on the device; nothing else that has elements may come with it."""
    if isinstance(value, DeviceArray):
        return value.on_device
    assert type(value) is not np.ndarray, "an array on the host where one on the device must be"
    return value


def _key(key: Any) -> Any:
    return tuple(map(_unwrapped, key)) if isinstance(key, tuple) else _unwrapped(key)


def is_mapped(start: int, stop: int) -> bool:
    """Tell whether this process still has all memory of a range."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(place, 16) for place in line.split()[0].split("-"))
        if first <= start < last:
            start = last
    return start >= stop
