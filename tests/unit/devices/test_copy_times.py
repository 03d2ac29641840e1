from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.devices.copy_times import CopyTimes, CopyWaits
from mpitrain.devices.page_locked import page_locked
from mpitrain.devices.transfer import DeviceTransfer
from tests.unit.devices.fake_cupy import FakeCupy

PARTS = [slice(0, 100), slice(100, 101), slice(101, 101)]
SIZE, NUM_STEPS = 101, 3


@pytest.fixture(params=["fake", pytest.param("cuda", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest) -> Any:
    """Return the stand-in, then CuPy itself (marked gpu)."""
    return FakeCupy() if request.param == "fake" else pytest.importorskip("cupy")


def test_every_copy_is_waited_for_and_counted(cupy: Any) -> None:
    """Up and down apart; on the stand-in a byte takes a millisecond."""
    vector, host = cupy.empty(SIZE, "float32"), page_locked(cupy, SIZE, "float32")
    transfer = DeviceTransfer(cupy, vector, host, PARTS)
    transfer.watch = times = CopyTimes(cupy)
    parts = range(len(PARTS))
    for step in range(NUM_STEPS):
        for part in parts:
            transfer.on_host(part)[...] = step
            transfer.upload(part)
            if isinstance(cupy, FakeCupy):
                assert cupy.num_under_way == 0
        transfer.download(parts)
        for part in parts:
            np.testing.assert_array_equal(transfer.on_host(part), step)
    transfer.close()
    moved = NUM_STEPS * SIZE * 4
    assert times.num_bytes == [moved, moved]
    if isinstance(cupy, FakeCupy):
        assert times.seconds == pytest.approx([moved / 1000] * 2)
    assert all(0 < seconds < 10 for seconds in times.seconds)


def test_waits_are_counted_and_copies_go_on() -> None:
    """The host waits when it wants a part, not before."""
    fake = FakeCupy()
    vector, host = fake.empty(SIZE, "float32"), page_locked(fake, SIZE, "float32")
    transfer = DeviceTransfer(fake, vector, host, PARTS)
    transfer.watch = waits = CopyWaits()
    transfer.upload(0)
    assert fake.num_under_way == 1
    assert waits.seconds == 0
    transfer.on_host(0)
    assert fake.num_under_way == 0
    assert 0 < waits.seconds < 1
    transfer.close()
