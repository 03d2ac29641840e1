"""Whole runs on real ranks: every mode proves itself from its log, and bsp is exact."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.core.batch import Batch
from mpitrain.core.errors import MpitrainError, UserError
from mpitrain.models.model import Model
from mpitrain.models.softmax import Softmax
from mpitrain.result import Result
from mpitrain.running.lives import run_training
from mpitrain.storage.reading import open_log

MODES: dict[str, dict[str, Any]] = {
    "bsp": {"kind": "bsp"},
    "ssp0": {"kind": "ssp", "bound": 0},
    "ssp1": {"kind": "ssp", "bound": 1},
    "ssp3": {"kind": "ssp", "bound": 3},
    "ssp10": {"kind": "ssp", "bound": 10},
    "asp": {"kind": "asp"},
}
STRAGGLERS: dict[str, dict[str, Any]] = {
    "even": {},
    "one-slow": {"kind": "constant", "ranks": (0,), "delay": 0.004},
    "random": {"kind": "exponential", "delay": 0.001},
}
SHARDS = ("1", "P", "9")
COMBINATIONS = list(itertools.product(MODES, STRAGGLERS, SHARDS))


def train_small(
    world: World, directory: str, own: Model | None = None, **tables: dict[str, Any]
) -> Result:
    """Train softmax, or a model of one's own, on synthetic data; ``tables`` override."""
    settings: dict[str, dict[str, Any]] = {
        "run": {"steps": 24 * world.size, "directory": directory, "progress_every_s": 1e6},
        "data": {
            "source": "synthetic",
            "num_samples": 301,
            "num_test": 50,
            "num_features": 7,
            "num_classes": 3,
            "batch_size": 4,
        },
        "model": {"kind": "softmax"},
        "optimizer": {"kind": "momentum", "rate": 0.05},
        "log": {"flush_every_s": 0.5},
    }
    for name, table in tables.items():
        settings[name] = {**settings.get(name, {}), **table}
    return run_training(world, from_mapping(settings), model=own)


def shared_directory(world: World) -> str:
    """Make one temporary directory for all ranks."""
    return world.from_root(lambda: tempfile.mkdtemp(prefix="mpitrain-test-"))


@pytest.mark.ranks(1, 2, 3, 4, 7, limit_s=240)
@pytest.mark.parametrize(("mode", "straggler", "shards"), COMBINATIONS)
def test_log_proves_itself_in_every_mode(
    comm: MPI.Intracomm, mode: str, straggler: str, shards: str
) -> None:
    """The checker accepts the log of a real run, and the result counts every step."""
    check_run(comm, mode, straggler, shards)


@pytest.mark.ranks(3, mpis=("mpich",), limit_s=240)
@pytest.mark.parametrize(("mode", "straggler", "shards"), COMBINATIONS)
def test_log_proves_itself_in_every_mode_on_mpich(
    comm: MPI.Intracomm, mode: str, straggler: str, shards: str
) -> None:
    """The same on the second MPI."""
    check_run(comm, mode, straggler, shards)


def check_run(comm: MPI.Intracomm, mode: str, straggler: str, shards: str) -> None:
    """Train once and verify the log on rank 0."""
    world = World(comm)
    directory = shared_directory(world)
    count = world.size if shards == "P" else int(shards)
    result = train_small(
        world,
        f"{directory}/run",
        mode={**MODES[mode], "shards": count},
        straggler=STRAGGLERS[straggler],
    )
    assert result.steps == 24 * world.size
    assert result.lead_max <= MODES[mode].get("bound", 10**6)
    if world.is_root:
        report = verify(Path(result.directory))
        assert report.ok, report
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2, 3, 4, 7)
@pytest.mark.parametrize("mode", ["ssp1", "asp"])
@pytest.mark.parametrize("share", ["equal", "shared"])
def test_every_ticket_is_taken_once_whoever_is_slow(
    comm: MPI.Intracomm, mode: str, share: str
) -> None:
    """With a slow rank, shared tickets go to the fast ones and equal shares stay equal."""
    world = World(comm)
    directory = shared_directory(world)
    steps = 15 * world.size + 1
    result = train_small(
        world,
        f"{directory}/run",
        run={"steps": steps, "share": share},
        mode=MODES[mode],
        straggler={"kind": "constant", "ranks": (0,), "delay": 0.01},
    )
    assert result.steps == (steps if share == "shared" else 16 * world.size)
    if world.is_root:
        report = verify(Path(result.directory))
        assert report.ok, report
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_run_ends_well_when_one_rank_takes_much_longer_than_the_limit(comm: MPI.Intracomm) -> None:
    """A fast rank that has finished waits for a slow one as long as that one moves."""
    world = World(comm)
    directory = shared_directory(world)
    result = train_small(
        world,
        f"{directory}/run",
        run={"steps": 40, "share": "equal"},
        mode={"kind": "asp", "warn_s": 0.3, "limit_s": 1.0},
        straggler={"kind": "constant", "ranks": (1,), "delay": 0.12},
    )
    assert result.steps == 40
    assert result.seconds > 2.0
    world.close()


@pytest.mark.ranks(2)
def test_logs_in_another_folder_are_found_through_the_run_directory(comm: MPI.Intracomm) -> None:
    """log.directory may exist already; verify finds the logs, and a second run is refused."""
    world = World(comm)
    directory = shared_directory(world)
    log = {"directory": directory}
    result = train_small(world, f"{directory}/run", mode={"kind": "ssp"}, log=log)
    assert Path(directory, "life-000", f"rank-{world.rank:05d}.h5").exists()
    if world.is_root:
        assert verify(Path(result.directory)).ok
    with pytest.raises(UserError, match=r"log\.directory: .* is the log of another run"):
        train_small(world, f"{directory}/run2", mode={"kind": "ssp"}, log=log)
    world.close()


@pytest.mark.ranks(1, 3)
@pytest.mark.parametrize("mode", ["bsp", "ssp1"])
def test_evaluations_say_the_steps_they_were_made_after(comm: MPI.Intracomm, mode: str) -> None:
    """Each evaluation's versions hold all the steps it counts; the last is the result's."""
    world = World(comm)
    directory = shared_directory(world)
    result = train_small(world, f"{directory}/run", run={"evaluate_every": 10}, mode=MODES[mode])
    if world.is_root:
        log = open_log(result.directory).lives[0].ranks[0]
        told = [detail for _, kind, detail in log.events if kind == "evaluation"]
        steps = [detail["steps"] for detail in told]
        assert len(steps) >= 2
        # the others may be done when the last but one is made: it and the final one see the same
        assert steps == sorted(steps)
        assert len(set(steps)) >= len(steps) - 1
        assert steps[-1] == result.steps
        for detail in told:
            clock = detail["steps"] // world.size
            least = clock if mode == "bsp" else detail["steps"]
            assert all(version >= least for version in detail["versions"])
            if world.size == 1:
                assert detail["versions"] == [detail["steps"]]
    world.close()


@pytest.mark.ranks(2)
@pytest.mark.parametrize(("mode", "rate"), [("asp", 1e30), ("asp", 1e300), ("bsp", 1e300)])
def test_diverging_run_ends_before_a_bad_update(
    comm: MPI.Intracomm, mode: str, rate: float
) -> None:
    """A rate that is much too large ends the run; what is said names the newest checkpoint.

    NumPy adds no warning to that; here it would be an error.
    """
    world = World(comm)
    directory = shared_directory(world)
    with pytest.raises(
        MpitrainError, match=r"is (nan|inf|not finite) .*; the newest good checkpoint"
    ):
        train_small(
            world,
            f"{directory}/run",
            run={"evaluate_every": 1},
            mode=MODES[mode],
            model={"kind": "mlp", "hidden": (8,)},
            optimizer={"kind": "sgd", "rate": rate},
        )
    world.close()


class Warned(Softmax):
    """A model whose own arithmetic divides by zero where it says."""

    def __init__(self, where: str) -> None:
        """Warn in "a step" or in "an evaluation"."""
        super().__init__(7, 3, "float32")
        self._where = where

    def loss_and_gradient(self, parameters: Any, batch: Batch, out: Any) -> float:
        """Compute, and divide by zero."""
        self._divide("a step")
        return super().loss_and_gradient(parameters, batch, out)

    def evaluate(self, parameters: Any, batch: Batch) -> dict[str, float]:
        """Evaluate, and divide by zero."""
        self._divide("an evaluation")
        return super().evaluate(parameters, batch)

    def _divide(self, where: str) -> None:
        np.divide(1.0, np.zeros(1 if where == self._where else 0))


@pytest.mark.ranks(1)
@pytest.mark.parametrize("where", ["a step", "an evaluation"])
def test_warnings_of_numpy_in_a_users_code_are_kept(comm: MPI.Intracomm, where: str) -> None:
    """Only what our own arithmetic says by itself is silent."""
    world = World(comm)
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        train_small(world, f"{shared_directory(world)}/run", Warned(where))
    world.close()


@pytest.mark.ranks(1, 2, 3, 4, 7)
def test_bsp_is_bit_identical_on_repetition(comm: MPI.Intracomm) -> None:
    """Two runs of the same configuration end with the same bits, on every rank."""
    world = World(comm)
    directory = shared_directory(world)
    digests = {
        train_small(world, f"{directory}/{name}", mode={"kind": "bsp"}).parameters_sha256
        for name in "ab"
    }
    assert len({digest for part in world.gather_obj(digests) for digest in part}) == 1
    world.close()


@pytest.mark.ranks(4)
def test_bsp_does_not_depend_on_the_number_of_ranks(comm: MPI.Intracomm) -> None:
    """The same global batches on 1, 2 and 4 ranks, 200 steps, float64: equal to 1e-13.

    The sums are grouped otherwise, so each step may differ in the last bit (1.1e-16 relative).
    """
    whole = World(comm)
    directory = shared_directory(whole)
    ends: list[np.ndarray[Any, Any]] = []
    for size in (1, 2, 4):
        part = comm.Split(0 if comm.rank < size else MPI.UNDEFINED, comm.rank)
        if part != MPI.COMM_NULL:
            world = World(part)
            result = train_small(
                world,
                f"{directory}/{size}",
                run={"steps": 200 * size},
                data={"batch_size": 16 // size, "num_samples": 320},
                model={"kind": "mlp", "hidden": (11,), "dtype": "float64"},
                optimizer={"kind": "momentum", "rate": 0.05},
            )
            ends.append(np.concatenate([v.ravel() for v in result.parameters.values()]))
            world.close()
            part.Free()
        whole.meet("the next size begins")
    if whole.is_root:
        largest = np.abs(ends[0]).max()
        for other in ends[1:]:
            assert np.abs(other - ends[0]).max() <= 1e-13 * largest
        assert np.abs(ends[0]).max() > 0
        shutil.rmtree(directory)
    whole.close()
