"""Runs that end early because their evaluations show nothing better."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mpi4py import MPI

from mpitrain.analysis.verify import verify
from mpitrain.comm.world import World
from mpitrain.config import Config, from_mapping
from mpitrain.core.errors import StoppedError, UserError
from mpitrain.data.synthetic import SyntheticSource
from mpitrain.models.mlp import Mlp
from mpitrain.running.lives import run_training
from mpitrain.storage.reading import open_log
from tests.ranks.test_lives import go_on, settings, train
from tests.ranks.test_modes import MODES, shared_directory

COMBINATIONS = [
    ("bsp", "equal"),
    ("ssp1", "equal"),
    ("ssp1", "shared"),
    ("asp", "equal"),
    ("asp", "shared"),
]


def early(root: Path, steps: int = 240, every: int = 6, **tables: dict[str, Any]) -> Config:
    """Return a run where no evaluation after the first is better by enough."""
    made = settings(str(root), steps, **tables)
    made["run"] |= {"evaluate_every": every, "early_stop": 2, "early_stop_delta": 1.0}
    return from_mapping(made)


@pytest.mark.ranks(3)
@pytest.mark.parametrize(("mode", "share"), COMBINATIONS)
def test_run_ends_early_and_goes_on_when_asked(comm: MPI.Intracomm, mode: str, share: str) -> None:
    """All ranks end together; it is done; the log proves itself, also when the run has gone on."""
    world = World(comm)
    root = Path(shared_directory(world), "run")
    straggler = {"kind": "exponential", "delay": 0.001}
    tables = {"mode": MODES[mode], "straggler": straggler}
    # much longer than three evaluations take, also when rank 0 gets little of the machine
    result = train(world, early(root, 6000, 30, run={"share": share}, **tables))
    assert result.ended_early
    assert 90 < result.steps < 6000
    assert result.best_steps <= result.steps
    if world.is_root:
        assert verify(root).ok, verify(root)
        status = json.loads((root / "status.json").read_text())
        told = r"no accuracy in 2 evaluations was better than 0\.\d+ by more than 1; the best is 0"
        assert status["status"] == "done"
        assert re.search(rf"^early stop at step {result.steps}: {told}", status["reason"])
        for log in open_log(root).lives[0].ranks.values():
            assert [d["steps"] for _, kind, d in log.events if kind == "early_stop"] == [
                result.steps
            ]
    with pytest.raises(UserError, match=r"ended early, after 2 .*give run\.early_stop=none"):
        go_on(world, root)
    more = go_on(world, root, run__steps=6060)  # two more evaluations without a better metric
    assert more.ended_early
    assert result.steps < more.steps < 6060
    length = (more.steps + 20) * 3  # longer than any rank's share so far, whoever took the steps
    whole = go_on(world, root, run__early_stop=None, run__steps=length)
    assert (whole.steps, whole.ended_early, whole.life) == (length, False, 2)
    if world.is_root:
        told = [
            detail["accuracy"]
            for life in open_log(root).lives
            for _, kind, detail in life.ranks[0].events
            if kind == "evaluation"
        ]
        assert whole.best_metric == max(told)
        assert verify(root).ok, verify(root)
    world.close()


@pytest.mark.ranks(3)
def test_early_end_of_bsp_does_not_depend_on_stops_and_checkpoints(comm: MPI.Intracomm) -> None:
    """Same step, same bits: stopped just after any evaluation, the one that is enough included."""
    world = World(comm)
    directory = Path(shared_directory(world))
    expected = train(world, early(directory / "a"))
    assert (expected.steps, expected.ended_early) == (21, True)  # evaluated at 6, 12, 18
    often = train(world, early(directory / "b", checkpoint={"every_steps": 6}))
    assert (often.steps, often.parameters_sha256) == (21, expected.parameters_sha256)
    for at in (2, 4, 5, 6):  # steps of each rank
        root = directory / f"stopped-{at}"
        with pytest.raises(StoppedError) as stopped:
            train(world, early(root), at)
        assert stopped.value.steps == 3 * at
        result = go_on(world, root)
        assert (result.steps, result.ended_early) == (21, True)
        assert result.parameters_sha256 == expected.parameters_sha256
        assert (result.best_metric, result.best_steps) == (
            expected.best_metric,
            expected.best_steps,
        )
    world.close()


@pytest.mark.ranks(3)
@pytest.mark.parametrize(("mode", "share"), COMBINATIONS)
def test_run_cut_off_after_its_early_end_only_says_so(
    comm: MPI.Intracomm, mode: str, share: str
) -> None:
    """The last checkpoint knows that it had ended: no step more, the same result."""
    world = World(comm)
    root = Path(shared_directory(world), "run")
    straggler = {"kind": "exponential", "delay": 0.001}
    tables = {"mode": MODES[mode], "straggler": straggler}
    result = train(world, early(root, 6000, 30, run={"share": share}, **tables))
    assert result.ended_early
    if world.is_root:
        (root / "result.json").unlink()
        (root / "status.json").write_text('{"status": "running", "life": 0}')
    world.meet("it looks cut off")
    again = go_on(world, root)
    assert (again.steps, again.ended_early, again.life) == (result.steps, True, 1)
    assert again.parameters_sha256 == result.parameters_sha256
    if world.is_root:
        assert verify(root).ok, verify(root)
    more = go_on(world, root, run__early_stop=None, run__steps=result.steps // 3 * 3 + 30)
    assert more.steps > result.steps
    world.close()


@pytest.mark.ranks(3)
@pytest.mark.parametrize("first", [12, 18, 15])
def test_extended_run_ends_early_where_one_in_one_part_does(
    comm: MPI.Intracomm, first: int
) -> None:
    """What was evaluated at the end of the first part is known to the second."""
    world = World(comm)
    directory = Path(shared_directory(world))
    expected = train(world, early(directory / "a"))
    part = train(world, early(directory / "b", first))
    assert (part.steps, part.ended_early) == (first, False)
    whole = go_on(world, directory / "b", run__steps=240)
    assert (whole.steps, whole.ended_early) == (expected.steps, True)
    assert whole.parameters_sha256 == expected.parameters_sha256
    if first != 15:  # which no run in one part evaluates at
        assert (whole.best_metric, whole.best_steps) == (expected.best_metric, expected.best_steps)
    world.close()


@pytest.mark.ranks(2)
def test_model_whose_evaluation_lacks_its_metric_is_refused(comm: MPI.Intracomm) -> None:
    """Before anything is written: it could end no run and judge no checkpoint."""
    world = World(comm)
    root = Path(shared_directory(world), "run")
    model = Mlp(7, (9,), 3, "tanh", "float32")
    model.metric_name = "perplexity"
    model.evaluate = lambda _parameters, _batch: {"loss": 1.0}  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"returns 'loss', not its metric_name 'perplexity'"):
        train(world, early(root), model=model)
    assert not root.exists()
    world.close()


@pytest.mark.ranks(1)
def test_early_stop_without_test_samples_is_refused(comm: MPI.Intracomm) -> None:
    """Before anything is written."""
    world = World(comm)
    root = Path(shared_directory(world), "run")
    source = SyntheticSource(
        seed=5, num_samples=30, num_test=0, num_features=7, num_classes=3, noise=0.4
    )
    with pytest.raises(UserError, match=r"run\.early_stop is 2, but there are no test samples"):
        run_training(world, early(root), source=source)
    assert not root.exists()
    world.close()
