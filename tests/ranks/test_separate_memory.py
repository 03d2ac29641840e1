"""Whole runs on a device that is none: live ranks and their replay take the same bits through it.

See tests/separate_memory.py. The CPU's run differs by the device's powers and logarithms alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.bench.step import measure
from mpitrain.comm.world import World
from mpitrain.core.batch import Batch
from mpitrain.core.errors import UserError
from mpitrain.models.mlp import Mlp
from mpitrain.result import Result
from mpitrain.running.lives import resume_training
from mpitrain.storage.reading import open_log
from tests.ranks.test_modes import shared_directory, train_small
from tests.ranks.test_replay import replayed
from tests.separate_memory import COPY_MS, SeparateMemory

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "bsp"}, {}),
    ({"kind": "ssp", "bound": 3}, {}),
    ({"kind": "ssp", "bound": 1, "shards": 3}, {"factor": "inverse"}),
    ({"kind": "asp", "shards": 5}, {"compensation": "gap_aware"}),
    ({"kind": "asp"}, {"compensation": "dc_asgd_a", "factor": "hinge"}),
    ({"kind": "asp", "shards": 2}, {"compensation": "prediction"}),
]
TINY = {"kind": "sgd", "rate": 1e-38, "clip": 1.0}  # changes that CuPy's own addition takes for 0


def ways_of(root: Path) -> list[str]:
    """Return how each rank's device exchanged, as its log says."""
    logs = open_log(root).lives[0].ranks
    return [str(logs[rank].attributes["device_exchange"]) for rank in sorted(logs)]


def prove(root: Path) -> None:
    """Check that a run is whole and that its replay has its bits."""
    assert verify(root).ok, verify(root)
    found = replayed(root, device__kind="cuda")
    assert found.is_same, found.lines


def train(world: World, directory: str, kind: str, **tables: dict[str, Any]) -> Result:
    """Train a small network."""
    given: dict[str, dict[str, Any]] = {
        "run": {"steps": 18 * world.size, "evaluate_every": 5 * world.size, "share": "equal"},
        "model": {"kind": "mlp", "hidden": (9,)},
        "optimizer": {"kind": "adam", "rate": 0.01, "clip": 1.0},
        "checkpoint": {"every_steps": 6 * world.size},
        "device": {"kind": kind},
    }
    for name, table in tables.items():
        given[name] = {**given.get(name, {}), **table}
    return train_small(world, directory, **given)


@pytest.mark.ranks(1, 3)
@pytest.mark.parametrize("exchange", ["auto", "staged"])
@pytest.mark.parametrize(("mode", "staleness"), CASES)
def test_run_on_a_device_proves_itself_and_is_replayed_bit_for_bit(
    comm: MPI.Intracomm, cupy: Any, mode: dict[str, Any], staleness: dict[str, Any], exchange: str
) -> None:
    """Every loss, norm and checkpoint; logs say what computed them."""
    world = World(comm)
    directory = shared_directory(world)
    device = {"kind": "cuda", "exchange": exchange}
    result = train(world, f"{directory}/run", "cuda", mode=mode, staleness=staleness, device=device)
    assert result.steps == 18 * world.size
    assert cupy.num_allocations > 0
    if world.is_root:
        root = Path(directory, "run")
        for log in open_log(root).lives[0].ranks.values():
            assert log.attributes["device"] == f"cuda: {cupy.name}"
            assert log.attributes["kernels"] == f"cuda CuPy {cupy.version}"
        way = {"auto": "in place", "staged": "staged"}[exchange]
        is_alone = mode["kind"] == "bsp" and world.size == 1
        assert ways_of(root) == ["none" if is_alone else way] * world.size
        prove(root)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(3)
@pytest.mark.parametrize("cupy", ["separate"], indirect=True)  # a real driver does not refuse
@pytest.mark.parametrize("mode", ["bsp", "asp"])
def test_rank_that_may_not_lock_memory_copies(
    comm: MPI.Intracomm, cupy: Any, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says so; in bsp all do as it does, else the others work in place; bits are the same."""
    world = World(comm)
    directory = shared_directory(world)
    cupy.refuses = world.rank == 1
    train(world, f"{directory}/run", "cuda", mode={"kind": mode})
    told = "a GPU cannot work in shared memory and copies instead: rank 1 on "
    assert (told in capfd.readouterr().err) == world.is_root
    assert not cupy.registered
    if world.is_root:
        others = "staged" if mode == "bsp" else "in place"
        assert ways_of(Path(directory, "run")) == [others, "staged", others]
        prove(Path(directory, "run"))
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize("cupy", ["separate"], indirect=True)
@pytest.mark.parametrize("mode", ["bsp", "asp"])
def test_ranks_copy_where_the_library_shares_no_memory(
    comm: MPI.Intracomm,
    cupy: Any,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As Open MPI's osc/rdma; rank 0 says so."""

    def refuse(*_: Any, **__: Any) -> None:
        raise MPI.Exception(MPI.ERR_RMA_SHARED)

    library = SimpleNamespace(Win=SimpleNamespace(Allocate_shared=refuse), Exception=MPI.Exception)
    monkeypatch.setattr("mpitrain.comm.shared_memory.MPI", library)
    world = World(comm)
    directory = shared_directory(world)
    train(world, f"{directory}/run", "cuda", mode={"kind": mode})
    told = "a GPU cannot work in shared memory and copies instead: rank 0: MPI_ERR_RMA_SHARED"
    assert (told in capfd.readouterr().err) == world.is_root
    if world.is_root:
        assert ways_of(Path(directory, "run")) == ["staged"] * 2
        prove(Path(directory, "run"))
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize("cupy", ["separate"], indirect=True)
def test_gradients_are_copied_where_shared_memory_has_no_room(
    comm: MPI.Intracomm,
    cupy: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As in a container; one line says how much there is."""
    monkeypatch.setattr("mpitrain.device_exchange.free_bytes", lambda _folder: 100_000)
    world = World(comm)
    directory = shared_directory(world)
    train(world, f"{directory}/run", "cuda", mode={"kind": "bsp"})
    told = "copies instead: 128.8 KiB are needed and 97.7 KiB free in /dev/shm"
    assert (told in capfd.readouterr().err) == world.is_root
    if world.is_root:
        assert ways_of(Path(directory, "run")) == ["staged"] * 2
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize("mode", ["bsp", "asp"])
def test_replay_keeps_subnormal_numbers_as_ranks_do(
    comm: MPI.Intracomm, cupy: Any, mode: str
) -> None:
    """Biases are 0 at first, and become numbers that have no leading 1."""
    world = World(comm)
    directory = shared_directory(world)
    result = train(world, f"{directory}/run", "cuda", mode={"kind": mode}, optimizer=TINY)
    bias = np.abs(result.parameters["b1"])
    assert 0 < bias.min() < np.finfo(np.float32).tiny
    if world.is_root:
        found = replayed(Path(directory, "run"), device__kind="cuda")
        assert found.is_same, found.lines
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_own_model_gets_what_is_on_the_device(comm: MPI.Intracomm, cupy: Any) -> None:
    """From the first look at its evaluate() on, where a GPU is asked for; with auto, NumPy's."""
    seen: set[type] = set()

    class Own(Mlp):
        def evaluate(self, parameters: Mapping[str, Any], batch: Batch) -> dict[str, float]:
            seen.update({type(batch.x), type(parameters["b1"])})
            return super().evaluate(parameters, batch)

    world = World(comm)
    directory = shared_directory(world)
    for kind, expected in (("cuda", sys.modules["cupy"].ndarray), ("auto", np.ndarray)):
        seen.clear()
        settings = {"device": {"kind": kind}, "mode": {"kind": "asp"}, "run": {"steps": 8}}
        train_small(world, f"{directory}/{kind}", Own(7, (9,), 3, "relu", "float32"), **settings)
        assert seen == ({expected} if world.is_root else set())
    if world.is_root:
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1, 3)
@pytest.mark.parametrize("pieces", [1, 7])
def test_synchronous_run_on_a_device_is_near_the_cpus(
    comm: MPI.Intracomm, cupy: Any, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    """However the gradient is cut for its way to the host; resumed, it is the same run."""
    most_bytes = 16 * (1 + 40 // pieces)
    cut = [slice(start, start + most_bytes // 4) for start in range(0, 99, most_bytes // 4)]
    whole = [*cut[:-1], slice(cut[-1].start, 102)]  # 7 x 9 + 9 + 9 x 3 + 3 parameters
    monkeypatch.setattr("mpitrain.modes.message.pieces", lambda *_: whole)
    world = World(comm)
    directory = shared_directory(world)
    on_device, on_host = (
        train(world, f"{directory}/{kind}", kind, mode={"kind": "bsp"}) for kind in ("cuda", "cpu")
    )
    for name, values in on_host.parameters.items():
        np.testing.assert_allclose(on_device.parameters[name], values, rtol=1e-3, atol=1e-5)
    train(world, f"{directory}/first", "cuda", mode={"kind": "bsp"}, run={"steps": 9 * world.size})
    root = Path(directory, "first")
    again = resume_training(world, root, {"run.steps": 18 * world.size})
    assert again.parameters_sha256 == on_device.parameters_sha256
    if world.is_root:
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize(("mode", "staleness"), CASES)
def test_steps_on_a_device_allocate_nothing(
    comm: MPI.Intracomm, cupy: Any, mode: dict[str, Any], staleness: dict[str, Any]
) -> None:
    """A run of twice as many steps takes no more arrays."""
    world = World(comm)
    directory, taken = shared_directory(world), []
    for number in (1, 2):
        before = cupy.num_allocations
        train(
            world,
            f"{directory}/{number}",
            "cuda",
            mode=mode,
            staleness=staleness,
            run={"steps": number * 20 * world.size, "evaluate_every": 0},
            checkpoint={"enabled": False},
        )
        taken.append(cupy.num_allocations - before)
    assert taken[0] == taken[1] > 0
    if isinstance(cupy, SeparateMemory):
        assert cupy.num_waits >= 60  # each gradient is waited for, or its time would be another's
    world.meet("all have counted")
    if world.is_root:
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1, 2)
def test_bench_step_splits_a_step(comm: MPI.Intracomm, cupy: Any) -> None:
    """The parts add up; a step of each mode moves what its mode has to move."""
    world, num_vectors = World(comm), {}
    for row in measure(world, [((9,), 4)]):
        parts = [row[f"{name}_us"] for name in ("compute", "up", "down", "exchange")]
        assert sum(parts) == pytest.approx(row["step_us"])
        assert row["overlapped_us"] > 0
        assert row["device"] == f"cuda: {cupy.name}"
        is_hidden = "staged" in row["mode"] and (world.size > 1 or "bsp" not in row["mode"])
        assert ("hidden" in row) == is_hidden
        vector, seconds = row["mib"] * 2**20, row["floor_us"] * 1e-6
        if isinstance(cupy, SeparateMemory):  # its copies take equally long whatever they move
            rate = vector / (COPY_MS * 1e-3)
            assert row["up_gb_s"] == row["down_gb_s"] == pytest.approx(rate * 1e-9)
            num_vectors[row["mode"]] = seconds * rate / vector
    if num_vectors:
        num_others = world.size - 1
        wanted = {"bsp staged": 2 * (world.size > 1), "bsp": 4 * num_others / world.size}
        for name, num in {"ssp 3": 2, "asp": 2, "asp gap_aware": 3}.items():
            wanted |= {name: num, f"{name} staged": num}
        assert num_vectors == pytest.approx(wanted, rel=1e-3)  # present values begin as shards do
    world.close()


@pytest.mark.ranks(1, 3)
def test_model_that_does_not_fit_is_said_in_numbers(comm: MPI.Intracomm, cupy: Any) -> None:
    """On every rank, before anything is made."""
    world = World(comm)
    directory = shared_directory(world)
    with pytest.raises(UserError, match=r"does not fit on the GPU .* each rank needs .*parameters"):
        train(
            world,
            f"{directory}/run",
            "cuda",
            mode={"kind": "asp"},
            model={"hidden": (9,)},
            device={"memory_share": 1e-9},
        )
    assert not Path(directory, "run").exists()
    world.meet("all have looked")
    if world.is_root:
        shutil.rmtree(directory)
    world.close()
