from __future__ import annotations

import pytest

from mpitrain.core.errors import UserError
from mpitrain.devices.device import CPU, Device
from mpitrain.devices.fit import check_fits
from tests.fake_cupy import GIB, NAME

GPU = Device(
    kind="cuda",
    name=NAME,
    total_bytes=80 * GIB,
    free_bytes=70 * GIB,
    share_bytes=36 * GIB,
    num_sharing=2,
)


def test_what_fits_passes() -> None:
    """Up to the rank's part of what is free, and anything on the CPU."""
    check_fits(GPU, 35 * GIB, {})
    check_fits(CPU, 10**15, {})


@pytest.mark.parametrize("needed", [35 * GIB + 1, 36 * GIB + 1])
def test_what_does_not_fit_is_said_in_numbers(needed: int) -> None:
    """Beyond the free part, or beyond the share."""
    with pytest.raises(UserError) as raised:
        check_fits(GPU, needed, {"parameters": 12 * GIB, "optimiser": 23 * GIB + 512})
    message = str(raised.value)
    needs = f"{needed / GIB:.1f} GiB"
    assert f"needs {needs} (parameters 12.0 GiB, optimiser 23.0 GiB); the GPU has 80.0 " in message
    assert "70.0 GiB of them free, and the share of each of its 2 ranks is 36.0 GiB" in message
    assert "device.kind=cpu" in message
