"""A whole step, from the batch to the log, takes no memory that grows with model or batch."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from mpi4py import MPI

from mpitrain.comm.world import World
from mpitrain.core.batch import Batch
from mpitrain.models.mlp import Mlp
from tests.ranks.test_modes import shared_directory, train_small

WARM_UP, MEASURED = 6, 20  # steps of each rank
MODES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "bsp"}, {}),
    ({"kind": "ssp", "bound": 2}, {"factor": "inverse"}),
    ({"kind": "asp", "shards": 4}, {"compensation": "gap_aware"}),
]


class Watching(Mlp):
    """A network of 200,000 parameters that watches memory from its gradient to its next."""

    def __init__(self) -> None:
        super().__init__(7, (440, 440), 3, "relu", "float32")
        self.calls = 0
        self.peak_bytes = 0

    def loss_and_gradient(
        self, parameters: Mapping[str, Any], batch: Batch, out: Mapping[str, Any]
    ) -> float:
        """Return the loss; see Model."""
        loss = super().loss_and_gradient(parameters, batch, out)
        self.calls += 1
        if self.calls == WARM_UP:
            tracemalloc.start()
            self._before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
        if self.calls == WARM_UP + MEASURED:
            self.peak_bytes = tracemalloc.get_traced_memory()[1] - self._before
            tracemalloc.stop()
        return loss


@pytest.mark.ranks(1, 3)
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize(("mode", "staleness"), MODES)
def test_step_allocates_no_array(
    comm: MPI.Intracomm, kernels: str, mode: dict[str, Any], staleness: dict[str, Any]
) -> None:
    """Of twenty steps none takes a tenth of one vector of 800 kB; rows of the log are in it."""
    world = World(comm)
    directory, model = shared_directory(world), Watching()
    train_small(
        world,
        f"{directory}/run",
        model,
        run={"steps": (WARM_UP + MEASURED + 2) * world.size, "share": "equal"},
        data={"batch_size": 64},
        mode=mode,
        staleness=staleness,
        checkpoint={"enabled": False},
        device={"kernels": kernels},
    )
    assert model.calls >= WARM_UP + MEASURED
    assert 0 < model.peak_bytes < 80_000
    world.meet("all have measured")
    if world.is_root:
        shutil.rmtree(directory)
    world.close()
