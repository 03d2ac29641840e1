from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.devices.page_locked import page_locked
from mpitrain.devices.timed import TimedTransfer
from tests.unit.devices.fake_cupy import FakeCupy

PARTS = [slice(0, 100), slice(100, 101), slice(101, 101)]
SIZE = 101
NUM_STEPS = 3


@pytest.fixture(params=["fake", pytest.param("cuda", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest) -> Any:
    """Return the stand-in, then CuPy itself (marked gpu)."""
    return FakeCupy() if request.param == "fake" else pytest.importorskip("cupy")


def run(transfer: TimedTransfer) -> None:
    """Move everything up and back a few times, with other values each time."""
    parts = range(len(PARTS))
    for step in range(NUM_STEPS):
        for part in parts:
            transfer.on_host(part)[...] = step
            transfer.upload(part)
        transfer.download(parts)
        for part in parts:
            np.testing.assert_array_equal(transfer.on_host(part), step)


def test_seconds_are_those_of_all_copies_since_the_last_call(cupy: Any) -> None:
    """Up and down apart; on the stand-in a byte takes a millisecond."""
    transfer = TimedTransfer(
        cupy, cupy.empty(SIZE, "float32"), page_locked(cupy, SIZE, "float32"), PARTS
    )
    run(transfer)
    up_s, down_s = transfer.seconds()
    if isinstance(cupy, FakeCupy):
        assert up_s == pytest.approx(NUM_STEPS * SIZE * 4 / 1000)
        assert down_s == pytest.approx(NUM_STEPS * SIZE * 4 / 1000)
    assert 0 < up_s < 10
    assert 0 < down_s < 10
    assert transfer.seconds() == (0.0, 0.0)
    run(transfer)
    assert min(transfer.seconds()) > 0
    transfer.close()


def test_copy_that_is_not_over_does_not_count_and_is_not_waited_for() -> None:
    """The stand-in runs nothing before it is waited for."""
    fake = FakeCupy()
    host = page_locked(fake, SIZE, "float32")
    transfer = TimedTransfer(fake, fake.empty(SIZE, "float32"), host, PARTS)
    transfer.upload(0)
    assert transfer.seconds() == (0.0, 0.0)
    assert fake.num_under_way == 1
    transfer.close()
    assert transfer.seconds() == (pytest.approx(0.4), 0.0)
