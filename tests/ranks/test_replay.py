"""Replay of real runs: the same parameters, bit for bit, whatever the ranks did when."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.core.errors import MpitrainError, StoppedError
from mpitrain.names import make_factor
from mpitrain.replaying.session import Replay, replay_run
from mpitrain.stop import Stop
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.reading import open_log
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
FACTORS: list[dict[str, Any]] = [
    {"factor": "inverse"},
    {"factor": "inverse_sqrt", "normalize": True},
    {"factor": "polynomial", "power": 0.8},
    {"factor": "hinge", "hinge_start": 1.0, "normalize": True, "mean": 2.5},
    {},
]
COMPENSATIONS = ("gap_aware", "dc_asgd_c", "dc_asgd_a", "prediction", "dana_slim", "none")
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
    for life, (size, at) in enumerate([(4, 6), (2, 3), (3, -1)]):
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


@pytest.mark.ranks(3)
def test_counterfactual_is_the_same_twice(comm: MPI.Intracomm) -> None:
    """Another optimiser under the same schedule: other parameters, the same whenever it is done."""
    world = World(comm)
    directory = shared_directory(world)
    result = train_small(world, f"{directory}/run", mode=MODES["asp"])
    if world.is_root:
        root = Path(directory, "run")
        one, two = (replayed(root, optimizer__kind="adam", optimizer__rate=0.01) for _ in range(2))
        assert one.is_same is two.is_same is None
        assert one.result.changes == ["optimizer.kind", "optimizer.rate"]
        digests = {found.result.parameters_sha256 for found in (one, two)}
        assert len(digests) == 1
        assert result.parameters_sha256 not in digests
        # what changes no parameter leaves it the recorded run
        assert replayed(root, run__evaluate_every=10).is_same
        with pytest.raises(MpitrainError, match=r"rank \d: at clock \d+.* the run diverges"):
            replayed(root, optimizer__rate=1e200)
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_replay_starts_from_what_the_run_started_from(comm: MPI.Intracomm) -> None:
    """Though the run that it was taken from has gone on, or is gone."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(world, f"{directory}/first", mode=MODES["asp"])
    start = {"init_from": f"{directory}/first"}
    keep = {"keep": 9}
    train_small(world, f"{directory}/run", mode=MODES["asp"], run=start, checkpoint=keep)
    if world.is_root:
        shutil.rmtree(Path(directory, "first"))
        assert replayed(Path(directory, "run")).is_same
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1)
def test_replay_that_is_asked_to_stop_says_so(comm: MPI.Intracomm) -> None:
    """There is nothing to go on from."""
    world = World(comm)
    directory = shared_directory(world)
    train_small(world, f"{directory}/run", mode=MODES["asp"])
    stop = Stop()
    stop.reason = "signal TEST"
    place = Path(directory, "again")
    with pytest.raises(MpitrainError, match=r"signal TEST after step 0; start it again"):
        replay_run(Path(directory, "run"), {"run.directory": str(place)}, stop=stop)
    assert json.loads((place / "status.json").read_text())["status"] == "failed"
    shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(2)
def test_measuring_coherence_changes_nothing(comm: MPI.Intracomm) -> None:
    """The same bits with and without; the events say what was measured, also in a replay."""
    world = World(comm)
    directory = shared_directory(world)
    plain = train_small(world, f"{directory}/plain")
    measured = {"coherence_every": 8, "coherence_samples": 100, "coherence_lags": 3}
    result = train_small(world, f"{directory}/run", run=measured)
    assert result.parameters_sha256 == plain.parameters_sha256
    if world.is_root:
        again = Path(directory, "again")
        found = replay_run(Path(result.directory), {"run.directory": str(again)})
        assert found.is_same
        told = [
            [
                detail
                for _, kind, detail in open_log(root).lives[0].ranks[0].events
                if kind == "coherence"
            ]
            for root in (result.directory, again)
        ]
        assert [detail["steps"] for detail in told[0]] == [8, 16, 24, 32, 40]
        assert told[0] == told[1]
        shutil.rmtree(directory)
    world.close()


@pytest.mark.ranks(1, 3, 7)
@pytest.mark.parametrize(
    ("compensation", "staleness", "mode", "shards", "optimizer", "dtype"),
    [
        (compensation, factor, mode, shards, optimizer, dtype)
        for (compensation, mode), factor, shards, optimizer, dtype in zip(
            itertools.product(COMPENSATIONS, ("ssp1", "asp")),
            itertools.cycle(FACTORS),
            itertools.cycle((1, 4, 9)),
            itertools.cycle(("momentum", "adam", "sgd", "adamw", "nesterov", "rmsprop", "adagrad")),
            itertools.cycle(("float32", "float64", "float32")),
            strict=False,
        )
    ],
)
def test_replay_with_factors_and_compensations(
    comm: MPI.Intracomm,
    compensation: str,
    staleness: dict[str, Any],
    mode: str,
    shards: int,
    optimizer: str,
    dtype: str,
) -> None:
    """Bit for bit, in two lives; the factor column is that of the staleness columns."""
    world = World(comm)
    directory = shared_directory(world)
    root, steps = Path(directory, "run"), 30 * world.size
    kind = "sgd" if compensation == "dana_slim" else optimizer
    tables: dict[str, Any] = {
        "mode": {**MODES[mode], "shards": shards},
        "staleness": {**staleness, "compensation": compensation},
        "optimizer": {"kind": kind, "rate": RATES[kind], "weight_decay": 0.01},
        "straggler": STRAGGLERS["random"],
        "model": {"dtype": dtype},
    }
    config = from_mapping(settings(str(root), steps, **tables))
    with pytest.raises(StoppedError):
        train(world, config, 9)
    result = go_on(world, root)
    if world.is_root:
        assert verify(root).ok, verify(root)
        place = Path(directory, "again")
        model = Interrupted(-1, Stop())
        found = replay_run(root, {"run.directory": str(place)}, model=model, source=source())
        assert found.is_same, found.lines
        assert found.result.parameters_sha256 == result.parameters_sha256
        assert verify(place).ok, verify(place)
        factor = make_factor(config.staleness, world.size)
        for log in open_log(root).lives[-1].ranks.values():
            read, written = log.steps["version_read"], log.steps["version_written"]
            before = np.vstack([np.full((1, shards), log.start.version), written[:-1]])
            tau = written - 1 - read - (before > read)
            weights = np.diff(log.shards[:, :2], axis=1)[:, 0] / log.shards[-1, 1]
            wanted = np.vectorize(factor, otypes=[float])(tau) @ weights
            assert log.steps["factor"] == pytest.approx(wanted, rel=1e-6)
        shutil.rmtree(directory)
    world.close()
