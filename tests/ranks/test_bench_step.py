"""The measurement of a step without a device."""

from __future__ import annotations

import pytest
from mpi4py import MPI

from mpitrain.bench.step import measure
from mpitrain.comm.world import World


@pytest.mark.ranks(1, 2)
def test_bench_step_splits_a_step_on_the_cpu(comm: MPI.Intracomm) -> None:
    """Into gradient and exchange; nothing is staged."""
    world = World(comm)
    rows = list(measure(world, [((9,), 4)]))
    assert [row["mode"] for row in rows] == ["bsp", "ssp 3", "asp", "asp gap_aware"]
    for row in rows:
        assert row["device"] == "cpu"
        assert row["compute_us"] > 0
        assert row["exchange_us"] > 0
        assert row["step_us"] == pytest.approx(row["compute_us"] + row["exchange_us"])
        assert "up_us" not in row
    world.close()
