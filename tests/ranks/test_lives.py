"""Runs that are stopped and go on: bit for bit in bsp, by their logs in every mode."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.comm.world import World
from mpitrain.config import Config, from_mapping, load
from mpitrain.core.batch import Batch
from mpitrain.core.errors import MpitrainError, StoppedError, UserError
from mpitrain.data.source import Source
from mpitrain.data.synthetic import SyntheticSource
from mpitrain.models.mlp import Mlp
from mpitrain.result import Result
from mpitrain.running.lives import resume_training, run_training
from mpitrain.stop import Stop
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.reading import open_log
from tests.ranks.test_modes import MODES, shared_directory

BOTH = ("openmpi", "mpich")


class Interrupted(Mlp):
    """A model that asks its rank to stop, or does something else, at its n-th gradient."""

    def __init__(self, at: int, stop: Stop) -> None:
        super().__init__(7, (9,), 3, "tanh", "float32")
        self.stop = stop
        self.at = at
        self.num = 0

    def act(self, out: Mapping[str, Any]) -> float:
        """Ask to stop; return what is added to the loss."""
        self.stop.reason = "signal TEST"
        return 0.0

    def loss_and_gradient(
        self, parameters: Mapping[str, Any], batch: Batch, out: Mapping[str, Any]
    ) -> float:
        """Act when it is time."""
        loss = super().loss_and_gradient(parameters, batch, out)
        self.num += 1
        return loss + (self.act(out) if self.num == self.at else 0.0)


class Diverging(Interrupted):
    """A model whose loss or gradient is not finite once."""

    def __init__(self, at: int, stop: Stop, where: str) -> None:
        super().__init__(at, stop)
        self.where = where

    def act(self, out: Mapping[str, Any]) -> float:
        """Spoil one number."""
        if self.where == "gradient":
            next(iter(out.values())).flat[3] = np.inf
        self.at += 1  # the gradient may be asked for again, to find who spoilt it
        return float("nan") if self.where == "loss" else 0.0


def settings(directory: str, steps: int, **tables: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of a small run."""
    made: dict[str, dict[str, Any]] = {
        "run": {"steps": steps, "directory": directory, "progress_every_s": 1e6},
        "data": {"batch_size": 4},
        "optimizer": {"kind": "adam", "rate": 0.01},
        "checkpoint": {"every_steps": 1000},
        "log": {"flush_every_s": 0.5},
    }
    for name, table in tables.items():
        made[name] = {**made.get(name, {}), **table}
    return made


def source() -> Source:
    """Return the data of all runs here: 301 samples, so a data pass has 76 tickets."""
    return SyntheticSource(
        seed=5, num_samples=301, num_test=40, num_features=7, num_classes=3, noise=0.4
    )


def train(world: World, config: Config, at: int = -1, model: Mlp | None = None) -> Result:
    """Train; a rank asks to stop at its gradient number ``at``: see ``asks``."""
    stop = Stop()
    model = model or Interrupted(at if asks(world, config) else -1, stop)
    return run_training(world, config, model=model, source=source(), stop=stop)


def asks(world: World, config: Config) -> bool:
    """Tell whether this rank may ask to stop.

    The last one does; where tickets are shared any, since on a busy machine one may get none.
    """
    return config.share == "shared" or world.rank == world.size - 1


def go_on(world: World, root: Path, at: int = -1, **overrides: Any) -> Result:
    """Resume; a rank asks to stop at its gradient number ``at``: see ``asks``."""
    stop = Stop()
    mine = at if asks(world, load(root / "run.toml")) else -1
    return resume_training(
        world,
        root,
        {name.replace("__", "."): value for name, value in overrides.items()},
        model=Interrupted(mine, stop),
        source=source(),
        stop=stop,
    )


def in_lives(world: World, root: Path, config: Config, stops: tuple[int, ...]) -> Result:
    """Train with a stop at each of ``stops`` gradients of a rank, to the end."""
    with pytest.raises(StoppedError) as stopped:
        train(world, config, stops[0])
    assert len(set(world.gather_obj(stopped.value.steps))) == 1
    for at in stops[1:]:
        with pytest.raises(StoppedError):
            go_on(world, root, at)
    return go_on(world, root)


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_stopped_bsp_goes_on_as_if_it_had_never_stopped(
    comm: MPI.Intracomm, optimizer: str
) -> None:
    """Three lives end with the same bits as one, and count the same steps and samples."""
    world = World(comm)
    directory = shared_directory(world)
    tables = {"optimizer": {"kind": optimizer, "rate": 0.01, "schedule": "cosine"}}
    steps = 30 * world.size
    whole = train(world, from_mapping(settings(f"{directory}/whole", steps, **tables)))
    root = Path(directory, "lives")
    parts = in_lives(world, root, from_mapping(settings(str(root), steps, **tables)), (7, 11))
    for name in ("parameters_sha256", "steps", "samples", "loss", "metric"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert parts.life == 2
    if world.is_root:
        report = verify(root)
        assert report.ok, report
        assert json.loads((root / "status.json").read_text())["status"] == "done"
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize("mode", ["ssp0", "ssp3", "asp"])
@pytest.mark.parametrize("share", ["equal", "shared"])
def test_no_finished_update_is_lost_by_a_stop(comm: MPI.Intracomm, mode: str, share: str) -> None:
    """Every update of three lives is on the timeline, and the tickets are each taken once."""
    world = World(comm)
    directory = shared_directory(world)
    root, steps = Path(directory, "run"), 40 * world.size
    tables = {"mode": MODES[mode], "run": {"share": share}}
    result = in_lives(world, root, from_mapping(settings(str(root), steps, **tables)), (5, 8))
    assert result.steps == steps
    assert result.life == 2
    if world.is_root:
        report = verify(root)
        assert report.ok, report
        assert report.rows == steps
        log = open_log(root)
        rows = [
            seg.log.steps["ticket"][: seg.num_rows]
            for rank in range(world.size)
            for seg in log.timeline(rank)
        ]
        assert sorted(np.concatenate(rows).tolist()) == list(range(steps))
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(4)
@pytest.mark.parametrize("mode", ["bsp", "ssp1", "asp"])
@pytest.mark.parametrize("share", ["auto", "equal"])
def test_other_numbers_of_ranks_take_the_rest_of_the_pass(
    comm: MPI.Intracomm, mode: str, share: str
) -> None:
    """4, then 2, then 3 ranks: each sample of the pass once, versions carry over."""
    whole = World(comm)
    directory = shared_directory(whole)
    root = Path(directory, "run")
    tables = {"mode": MODES[mode], "run": {"share": share, "steps": None, "data_passes": 1.0}}
    config = from_mapping(settings(str(root), 1, **tables))
    for life, (size, at) in enumerate([(4, 6), (2, 9), (3, -1)]):
        part = comm.Split(0 if comm.rank < size else MPI.UNDEFINED, comm.rank)
        if part != MPI.COMM_NULL:
            world = World(part)
            if life == 0:
                with pytest.raises(StoppedError):
                    train(world, config, at)
            elif at > 0:
                with pytest.raises(StoppedError):
                    go_on(world, root, at)
            else:
                go_on(world, root)
            world.close()
            part.Free()
        whole.meet("the next size begins")
    if whole.is_root:
        report = verify(root)
        assert report.ok, report
        log = open_log(root)
        rows = [
            seg.log.steps["ticket"][: seg.num_rows]
            for rank in range(4)
            for seg in log.timeline(rank)
        ]
        tickets = sorted(np.concatenate(rows).tolist())
        assert tickets[:76] == list(range(76))
        assert len(tickets) == len(set(tickets)) < 76 + 3
        shutil.rmtree(directory)
    whole.close()


@pytest.mark.ranks(1, 3, mpis=BOTH)
@pytest.mark.parametrize("mode", ["bsp", "ssp1", "asp"])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_step_that_is_not_finite_stops_the_run_before_it_is_applied(
    comm: MPI.Intracomm, mode: str, where: str
) -> None:
    """The error names rank, clock and newest checkpoint; the log has every step before."""
    world = World(comm)
    directory = shared_directory(world)
    root, last = Path(directory, "run"), world.size - 1
    tables = {
        "mode": MODES[mode],
        "run": {"share": "equal"},  # so that the last rank gets its ninth step on a busy machine
        "checkpoint": {"every_steps": 4 * world.size},
    }
    config = from_mapping(settings(str(root), 40 * world.size, **tables))
    model = Diverging(9 if world.rank == last else -1, Stop(), where)
    with pytest.raises(MpitrainError, match=rf"rank {last} on .*: the {where} is .* at clock 8"):
        train(world, config, model=model)
    if world.is_root:
        state = json.loads((root / "status.json").read_text())
        assert state["status"] == "failed"
        assert "step-0" in state["reason"]
        assert verify(root).ok
    world.meet("all have looked")
    result = go_on(world, root, optimizer__rate=0.005)
    assert result.steps == 40 * world.size
    if world.is_root:
        report = verify(root)
        assert report.ok, report
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1, 3)
@pytest.mark.parametrize("mode", ["bsp", "ssp1", "asp"])
def test_checkpoints_come_in_time_and_old_ones_go(comm: MPI.Intracomm, mode: str) -> None:
    """Every 20 steps one, of which the newest two and the best one stay."""
    world = World(comm)
    directory = shared_directory(world)
    root = Path(directory, "run")
    keeping = {"every_steps": 20, "keep": 2, "keep_best": 1}
    config = from_mapping(settings(str(root), 120, mode=MODES[mode], checkpoint=keeping))
    train(world, config)
    if world.is_root:
        kept = Checkpoints(root / "checkpoints").complete()
        assert 2 <= len(kept) <= 3
        assert kept[-1].steps == 120
        events = [
            detail
            for _, kind, detail in open_log(root).lives[0].ranks[0].events
            if kind == "checkpoint"
        ]
        assert next(detail["steps"] for detail in events) == 0
        assert 2 <= len(events) <= 8
        best = max(detail["metric"] for detail in events)
        assert any(ck.facts["metric"] == best for ck in kept)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_life_that_is_long_enough_stops_and_goes_on(comm: MPI.Intracomm) -> None:
    """run.limit_s ends each life with a checkpoint."""
    world = World(comm)
    directory = shared_directory(world)
    root = Path(directory, "run")
    tables = {
        "run": {"limit_s": 0.5},
        "mode": {"kind": "ssp"},
        "straggler": {"kind": "constant", "delay": 0.02},
    }
    with pytest.raises(StoppedError, match=r"run\.limit_s = 0\.5"):
        train(world, from_mapping(settings(str(root), 60, **tables)))
    assert go_on(world, root, run__limit_s=None).steps == 60
    world.close()


@pytest.mark.ranks(2)
def test_compensation_stays_what_it_was(comm: MPI.Intracomm) -> None:
    """Its state is in the checkpoint; a factor has none, and may change."""
    world = World(comm)
    directory = shared_directory(world)
    root, run_file = Path(directory, "run"), Path(directory, "run", "run.toml")
    tables: dict[str, Any] = {"mode": {"kind": "asp"}, "staleness": {"compensation": "gap_aware"}}
    train(world, from_mapping(settings(str(root), 20, **tables)))
    with pytest.raises(UserError, match=r"staleness\.compensation cannot be changed on resume"):
        go_on(world, root, run__steps=50, staleness__compensation="none")
    if world.is_root:
        said = run_file.read_text()
        run_file.write_text(said.replace('"gap_aware"', '"dc_asgd_a"'))
    world.meet("the run file was edited")
    with pytest.raises(UserError, match=r"is 'dc_asgd_a', the .* 'gap_aware'; put it back"):
        go_on(world, root, run__steps=50)
    world.meet("all have seen it")
    if world.is_root:
        run_file.write_text(said)
    assert go_on(world, root, run__steps=50, staleness__factor="inverse").steps == 50
    if world.is_root:
        assert verify(root).ok
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_done_run_goes_on_when_it_gets_more_steps(comm: MPI.Intracomm) -> None:
    """Without more there is nothing to do, and it is said."""
    world = World(comm)
    directory = shared_directory(world)
    root = Path(directory, "run")
    train(world, from_mapping(settings(str(root), 20, mode={"kind": "asp"})))
    with pytest.raises(UserError, match=r"has taken 20 steps, of 20 .*give a larger run\.steps"):
        go_on(world, root)
    with pytest.raises(UserError, match=r"run\.seed cannot be changed on resume"):
        go_on(world, root, run__seed=3)
    run_file = root / "run.toml"
    if world.is_root:
        said = run_file.read_text()
        run_file.write_text(said.replace("batch_size = 4", "batch_size = 5"))
    world.meet("the run file was edited")
    with pytest.raises(UserError, match=r"data\.batch_size is 5, the checkpoint .* 4; put it back"):
        go_on(world, root, run__steps=50)
    world.meet("all have seen it")
    if world.is_root:
        run_file.write_text(said)
    assert go_on(world, root, run__steps=50).steps == 50
    if world.is_root:
        assert verify(root).ok
        assert (root / "result-before-life-001.json").exists()
    world.close()


@pytest.mark.ranks(2)
def test_new_run_starts_from_the_parameters_of_another(comm: MPI.Intracomm) -> None:
    """run.init_from takes the newest checkpoint of a run; a model of another shape is refused."""
    world = World(comm)
    directory = shared_directory(world)
    first = train(world, from_mapping(settings(f"{directory}/first", 20)))
    tables = {
        "run": {"init_from": f"{directory}/first"},
        "optimizer": {"kind": "sgd", "rate": 1e-30},
    }
    second = train(world, from_mapping(settings(f"{directory}/second", 2, **tables)))
    for name, values in first.parameters.items():
        assert np.array_equal(second.parameters[name], values)
    with pytest.raises(UserError, match=r"init_from|parameter"):
        train(
            world,
            from_mapping(settings(f"{directory}/third", 2, **tables)),
            model=Mlp(7, (5,), 3, "tanh", "float32"),
        )
    assert not Path(directory, "third").exists()
    world.close()
