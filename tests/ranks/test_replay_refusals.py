"""Replays that are refused: what was logged cannot be taken again, or was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.world import World
from mpitrain.core.errors import UserError
from mpitrain.storage.schema import row_checks
from tests.ranks.test_modes import MODES, shared_directory, train_small
from tests.ranks.test_replay import replayed


@pytest.mark.ranks(2)
def test_run_whose_order_of_addition_is_not_known_is_refused(comm: MPI.Intracomm) -> None:
    """mode.reduction = "mpi" and a log without versions."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(world, f"{directory}/mpi", mode={"kind": "bsp", "reduction": "mpi"})
    train_small(world, f"{directory}/thin", mode=MODES["asp"], log={"per_shard": False})
    train_small(world, f"{directory}/bsp", mode=MODES["bsp"], log={"per_shard": False})
    if world.is_root:
        with pytest.raises(UserError, match=r"rank-00000\.h5: .*mode\.reduction = 'mpi'"):
            replayed(Path(directory, "mpi"))
        with pytest.raises(UserError, match=r"rank-00000\.h5: .*log\.per_shard = false"):
            replayed(Path(directory, "thin"))
        assert replayed(Path(directory, "bsp")).is_same  # its clocks say everything
        shutil.rmtree(directory)
    world.close()


def written_by(path: Path, row: int, column: str) -> None:
    """Change one number of a log, and the check of its row with it."""
    with h5py.File(path, "r+") as file:
        steps = file["steps"]
        value = steps[column][row]
        steps[column][row] = value - 1
        keys = ["clock", "ticket", "version_read", "version_written"]
        parts = [np.atleast_2d(steps[name][row].reshape(1, -1)) for name in keys]
        steps["check"][row] = row_checks(np.concatenate(parts, axis=1))[0]


@pytest.mark.ranks(3)
@pytest.mark.parametrize("column", ["version_read", "version_written", "ticket", "clock"])
def test_log_that_was_changed_is_refused(comm: MPI.Intracomm, column: str) -> None:
    """With the row's check made right again; file and row are named, or two that contradict."""
    world = World(comm)
    directory = shared_directory(world)
    share = {"share": "equal"}  # so that every rank has rows enough
    train_small(world, f"{directory}/run", mode=MODES["asp"], run=share)
    if world.is_root:
        root = Path(directory, "run")
        path = root / "log" / "life-000" / "rank-00001.h5"
        written_by(path, 5, column)
        with pytest.raises(UserError, match=r"cannot be replayed: .*rank-0000\d\.h5 row \d+: "):
            replayed(root)
        assert not (root.parent / "run-replay").exists()
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_log_that_is_missing_or_strange_is_refused(comm: MPI.Intracomm) -> None:
    """One line that names the file, and exit code 2 on the command line."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(world, f"{directory}/run", mode=MODES["asp"])
    if world.is_root:
        root = Path(directory, "run")
        path = root / "log" / "life-000" / "rank-00001.h5"
        with pytest.raises(UserError, match=r"mode\.bound cannot be changed in a replay"):
            replayed(root, mode__bound=3)
        with pytest.raises(UserError, match=r"model\.hidden cannot be changed in a replay"):
            replayed(root, model__hidden=[3])
        with h5py.File(path, "r+") as file:
            file.attrs["schema"] = 99
        with pytest.raises(UserError, match=r"rank-00001\.h5: .*schema"):
            replayed(root)
        path.unlink()
        with pytest.raises(UserError, match=r"rank-00001\.h5: there is no such file"):
            replayed(root)
        with pytest.raises(UserError, match=r"unknown key 'run\.rate'"):
            replayed(root, run__rate=3)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_run_file_that_was_edited_is_refused(comm: MPI.Intracomm) -> None:
    """What the log knows of it: mode, bound, scale, share, seed, batch size."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(world, f"{directory}/run", mode=MODES["ssp3"])
    if world.is_root:
        root = Path(directory, "run")
        run_file = root / "run.toml"
        said = run_file.read_text()
        for before, after, name in (
            ('kind = "ssp"\nbound = 3', 'kind = "asp"', "mode.kind"),
            ("bound = 3", "bound = 2", "mode.bound"),
            ('scale = "mean"', 'scale = "sum"', "mode.scale"),
            ("seed = 0", "seed = 1", "run.seed"),
            ('share = "auto"', 'share = "equal"', "run.share"),
            ("batch_size = 4", "batch_size = 5", "data.batch_size"),
        ):
            assert before in said
            run_file.write_text(said.replace(before, after))
            with pytest.raises(UserError, match=rf"{name} = .*rank-00000\.h5.*; put it back"):
                replayed(root)
        run_file.write_text(said)
        assert replayed(root, mode__scale="sum").is_same is None
        shutil.rmtree(directory)
    world.close()
