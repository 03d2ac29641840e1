"""Replay of real runs: the same parameters, bit for bit, whatever the ranks did when."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.core.errors import StoppedError
from mpitrain.replay.session import Replay, replay_run
from mpitrain.stop import Stop
from mpitrain.storage.checkpoints import Checkpoints
from tests.ranks.test_lives import Interrupted, go_on, settings, source, train
from tests.ranks.test_modes import MODES, SHARDS, STRAGGLERS, shared_directory, train_small

RATES = {
    "adagrad": 0.05,
    "adam": 0.01,
    "adamw": 0.01,
    "momentum": 0.02,
    "nesterov": 0.02,
    "rmsprop": 0.005,
    "sgd": 0.1,
}
CASES = [
    (mode, straggler, shards, optimizer, dtype, model)
    for (mode, straggler, shards), optimizer, dtype, model in zip(
        itertools.product(("bsp", "ssp0", "ssp3", "asp"), ("even", "random"), SHARDS),
        itertools.cycle(RATES),
        itertools.cycle(("float32", "float64", "float32")),
        itertools.cycle(("softmax", "mlp", "mlp", "softmax", "mlp")),
        strict=False,
    )
]


def replayed(root: Path, **overrides: Any) -> Replay:
    """Replay a run next to it; its own logs are right."""
    place = root.with_name(f"{root.name}-replay")
    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    changes = {"run.directory": str(place), "run.progress_every_s": 1e6, **changes}
    found = replay_run(root, changes)
    assert verify(place).ok, verify(place)
    assert json.loads((place / "status.json").read_text())["status"] == "done"
    assert Checkpoints(place / "checkpoints").newest() is not None
    shutil.rmtree(place)
    return found


@pytest.mark.ranks(1, 2, 3, 4, 7)
@pytest.mark.parametrize(("mode", "straggler", "shards", "optimizer", "dtype", "model"), CASES)
def test_replay_is_the_run_bit_for_bit(
    comm: MPI.Intracomm,
    mode: str,
    straggler: str,
    shards: str,
    optimizer: str,
    dtype: str,
    model: str,
) -> None:
    """Parameters, every loss, every checkpoint; and what the result says of the schedule."""
    world = World(comm)
    directory = shared_directory(world)
    count = world.size if shards == "P" else int(shards)
    result = train_small(
        world,
        f"{directory}/run",
        mode={**MODES[mode], "shards": count},
        straggler=STRAGGLERS[straggler],
        optimizer={"kind": optimizer, "rate": RATES[optimizer], "clip": 1.5},
        model={"kind": model, "dtype": dtype},
        checkpoint={"every_steps": 7 * world.size},
    )
    if world.is_root:
        found = replayed(Path(directory, "run"))
        assert found.is_same, found.lines
        for name in ("parameters_sha256", "steps", "samples", "ranks", "staleness_max", "lead_max"):
            assert getattr(found.result, name) == getattr(result, name), name
        # the same numbers, added in another order
        assert found.result.staleness_mean == pytest.approx(result.staleness_mean, rel=1e-12)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2, 3)
@pytest.mark.parametrize("mode", ["bsp", "ssp1", "asp"])
def test_replay_of_several_lives(comm: MPI.Intracomm, mode: str) -> None:
    """Stopped twice, with another rate in the second life and another batch in pieces."""
    world = World(comm)
    directory = shared_directory(world)
    root, steps = Path(directory, "run"), 40 * world.size
    tables = {"mode": {**MODES[mode], "shards": 3}, "checkpoint": {"every_steps": 9, "keep": 9}}
    config = from_mapping(settings(str(root), steps, **tables))
    with pytest.raises(StoppedError):
        train(world, config, 7)
    with pytest.raises(StoppedError):
        go_on(world, root, 8, optimizer__rate=0.003, data__micro_batch_size=3)
    result = go_on(world, root, run__steps=steps + 30)
    if world.is_root:
        model = Interrupted(-1, Stop())
        place = Path(directory, "again")
        found = replay_run(root, {"run.directory": str(place)}, model=model, source=source())
        assert found.is_same, found.lines
        assert found.result.parameters_sha256 == result.parameters_sha256
        report = verify(place)
        assert report.ok, report
        assert (report.rows, report.lives) == (result.steps, 3)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(4)
@pytest.mark.parametrize("mode", ["bsp", "ssp1", "asp"])
@pytest.mark.parametrize("share", ["auto", "equal"])
def test_replay_of_lives_on_other_numbers_of_ranks(
    comm: MPI.Intracomm, mode: str, share: str
) -> None:
    """4, then 2, then 3 ranks: optimiser states and tickets carry over as they did."""
    whole = World(comm)
    directory = shared_directory(whole)
    root = Path(directory, "run")
    tables = {"mode": MODES[mode], "run": {"share": share}}
    config = from_mapping(settings(str(root), 70, **tables))
    for life, (size, at) in enumerate([(4, 6), (2, 9), (3, -1)]):
        part = comm.Split(0 if comm.rank < size else MPI.UNDEFINED, comm.rank)
        if part != MPI.COMM_NULL:
            world = World(part)
            if at > 0:
                with pytest.raises(StoppedError):
                    train(world, config, at) if life == 0 else go_on(world, root, at)
            else:
                go_on(world, root)
            world.close()
            part.Free()
        whole.meet("the next size begins")
    if whole.is_root:
        place = Path(directory, "again")
        model = Interrupted(-1, Stop())
        found = replay_run(root, {"run.directory": str(place)}, model=model, source=source())
        assert found.is_same, found.lines
        assert verify(place).ok, verify(place)
        shutil.rmtree(directory)
    whole.close()
