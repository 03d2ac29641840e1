"""A run is the same bits with each twin of the kernels, and its replay with the other one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mpi4py import MPI

from mpitrain.comm.world import World
from mpitrain.storage.reading import open_log
from tests.ranks.test_modes import shared_directory, train_small
from tests.ranks.test_replay import COMPENSATIONS, replayed

OTHER = {"numpy": "numba", "numba": "numpy"}


@pytest.mark.ranks(1, 4)
@pytest.mark.parametrize("kernels", OTHER)
@pytest.mark.parametrize(
    ("mode", "compensation"),
    [("bsp", "none"), ("ssp", "none"), *(("asp", name) for name in COMPENSATIONS)],
)
def test_replay_with_the_other_twin_is_bit_identical(
    comm: MPI.Intracomm,
    capfd: pytest.CaptureFixture[str],
    kernels: str,
    mode: str,
    compensation: str,
) -> None:
    """Losses, norms, checkpoints; the log says which twin ran, the replay that it has another."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(
        world,
        f"{directory}/run",
        mode={"kind": mode, "shards": 3},
        model={"kind": "mlp", "hidden": (20,)},
        optimizer={"kind": "sgd" if compensation == "dana_slim" else "adamw", "clip": 1.0},
        staleness={"compensation": compensation, "factor": "inverse_sqrt"},
        device={"kernels": kernels},
    )
    if world.is_root:
        root = Path(directory, "run")
        for log in open_log(root).lives[0].ranks.values():
            assert str(log.attributes["kernels"]).startswith(f"{kernels} ")
        capfd.readouterr()
        found = replayed(root, device__kernels=OTHER[kernels])
        assert found.is_same, found.lines
        assert f"kernels differ, which give the same bits: {kernels} " in capfd.readouterr().err
        shutil.rmtree(directory)
    world.close()
