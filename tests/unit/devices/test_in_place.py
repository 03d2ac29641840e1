from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest

from mpitrain.devices.copy_times import CopyTimes
from mpitrain.devices.in_place import InPlace
from tests.separate_memory import Refused, SeparateMemory

PAGE = mmap.PAGESIZE


@pytest.fixture(params=["separate", pytest.param("cuda", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest) -> Any:
    """Return the stand-in, then CuPy itself (marked gpu)."""
    return SeparateMemory() if request.param == "separate" else pytest.importorskip("cupy")


@pytest.fixture
def memory() -> np.ndarray[Any, Any]:
    """Return shared memory of six pages, from a page's begin on."""
    return np.frombuffer(mmap.mmap(-1, 6 * PAGE), np.float32)


def test_device_sees_what_the_host_writes_and_the_other_way_round(cupy: Any, memory: Any) -> None:
    """In place, without a copy; copies both ways."""
    memory[:] = np.arange(memory.size)
    vector = memory[3:1000]
    bus = InPlace(cupy, [vector])
    on_device, copied = bus.array(vector), cupy.zeros(vector.size, np.float32)
    np.testing.assert_array_equal(on_device.get(), vector)
    memory[7] = -5
    bus.run([bus.fetch(copied, vector)])
    cupy.cuda.get_current_stream().synchronize()
    np.testing.assert_array_equal(copied.get(), vector)
    cupy.multiply(copied, copied, out=on_device)
    cupy.cuda.get_current_stream().synchronize()
    assert vector[4] == 25
    bus.run([bus.send(vector, copied)])
    cupy.cuda.get_current_stream().synchronize()
    assert vector[4] == -5
    bus.run([bus.fetch(copied[:0], vector[:0]), bus.send(vector[:0], copied[:0])])  # nothing
    bus.close()
    bus.close()


def test_watch_is_told_of_all_that_crosses(cupy: Any, memory: Any) -> None:
    """With its bytes and its way."""
    bus, vector = InPlace(cupy, [memory]), cupy.zeros(memory.size, np.float32)
    bus.watch = times = CopyTimes(cupy)
    bus.run([bus.fetch(vector, memory), bus.send(memory[:10], vector[:10])])
    bus.run([bus.write(memory[:3], lambda: None)])
    assert times.num_bytes == [memory.nbytes, 52]
    bus.close()


def test_vectors_that_share_pages_are_locked_once(memory: Any) -> None:
    """A page may not be locked twice; what is apart stays apart."""
    cupy, floats = SeparateMemory(), PAGE // 4
    first = memory.ctypes.data
    together = [memory[floats + 5 : floats + 9], memory[10 : floats + 3]]
    apart = memory[4 * floats + 1 : 5 * floats]
    bus = InPlace(cupy, [apart, *together])
    assert cupy.registered == {
        first: first + 2 * PAGE,
        first + 4 * PAGE: first + 5 * PAGE,
    }
    bus.close()
    assert not cupy.registered


def test_nothing_stays_locked_when_the_driver_refuses(memory: Any) -> None:
    """Half of it was locked already."""
    cupy, floats = SeparateMemory(), PAGE // 4
    taken = InPlace(cupy, [memory[4 * floats : 5 * floats]])
    before = dict(cupy.registered)
    with pytest.raises(Refused, match="AlreadyRegistered"):
        InPlace(cupy, [memory[:floats], memory[4 * floats :]])
    assert cupy.registered == before
    taken.close()
