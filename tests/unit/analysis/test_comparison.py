"""Runs side by side: groups, spread, targets; and whether two runs are the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpitrain.analysis.comparison import Spread, grid_of, groups_of, target_of
from mpitrain.analysis.course import Course, Point, course_of
from mpitrain.analysis.equality import equality_of
from mpitrain.config import from_mapping
from mpitrain.core.errors import LogError
from mpitrain.replaying.simulation import simulate_run
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]


def course(name: str, metrics: list[float], *, pace_s: float = 1.0, **settings: Any) -> Course:
    """Return a run that was evaluated every 100 steps."""
    points = [
        Point(steps=100 * at, samples=800 * at, time_s=pace_s * at, loss=1 - metric, metric=metric)
        for at, metric in enumerate(metrics, 1)
    ]
    return Course(
        root=Path(name), settings={"run.directory": name, "optimizer.rate": 0.1} | settings,
        mode="ssp", bound=3, ranks=4, seed=0, steps=points[-1].steps, samples=points[-1].samples,
        seconds=points[-1].time_s, metric_name="accuracy", points=points, is_done=True, notes=[],
    )  # fmt: skip


def test_runs_that_differ_in_the_seed_are_a_group() -> None:
    """Any other setting parts them, and is the group's name."""
    runs = [
        course("a", [0.5], **{"run.seed": 1}),
        course("b", [0.7], **{"run.seed": 2}),
        course("c", [0.9], **{"run.seed": 1, "optimizer.rate": 0.2}),
        replace(course("d", [0.9]), bound=5),
    ]
    groups = groups_of(runs)
    assert [[one.root.name for one in group.courses] for group in groups] == [
        ["a", "b"],
        ["c"],
        ["d"],
    ]
    assert [group.label for group in groups] == [
        "ssp 3, optimizer.rate=0.1", "ssp 3, optimizer.rate=0.2", "ssp 5, optimizer.rate=0.1",
    ]  # fmt: skip
    assert groups_of(runs[:2])[0].label == "a"


def test_spread_is_that_of_a_sample() -> None:
    """With n - 1; nothing where there are fewer than two numbers."""
    assert Spread.of([1.0, None, 3.0]) == Spread(mean=2.0, deviation=pytest.approx(2**0.5), num=2)
    assert Spread.of([1.0]).text(2) == "1.00"
    assert Spread.of([1.0, 3.0]).text(1) == "2.0 ± 1.4"
    assert Spread.of([None, float("nan")]).text(2) == "-"


def test_a_target_is_reached_at_the_first_evaluation() -> None:
    """By a metric that is better when larger or when smaller, or by the loss."""
    run = course("a", [0.5, 0.8, 0.7, 0.9])
    target = target_of([run], 0.75, None)
    assert target is not None
    reached = target.reached_by(run)
    assert reached is not None
    assert (reached.steps, reached.samples, reached.time_s) == (200, 1600, 2.0)
    by_loss = target_of([run], 0.25, "loss")
    assert by_loss is not None
    assert by_loss.reached_by(run) == reached
    never = target_of([run], 0.95, None)
    assert never is not None
    assert never.reached_by(run) is None
    smaller = course("a", [0.5, 0.8, 0.4], **{"checkpoint.best": "smallest"})
    below = target_of([smaller], 0.45, None)
    assert below is not None
    assert below.reached_by(smaller) == smaller.points[2]


def test_without_a_target_it_is_the_best_that_all_reached() -> None:
    """The least of the runs' best, so everybody has a time."""
    runs = [course("a", [0.5, 0.8]), course("b", [0.6, 0.9, 0.85])]
    target = target_of(runs, None, None)
    assert target is not None
    assert (target.value, target.is_given) == (0.8, False)
    assert target_of([*runs, replace(runs[0], points=[])], None, None) is None


def test_runs_are_compared_at_the_steps_that_all_have() -> None:
    """Between evaluations on a line."""
    runs = [course("a", [0.5, 0.7, 0.9]), replace(course("b", [0.6, 0.8]), bound=5)]
    groups = groups_of(runs)
    assert grid_of(groups, 10) == [100, 200]
    assert groups[0].at(150, lambda point: point.metric).mean == pytest.approx(0.6)
    assert groups[1].at(250, lambda point: point.metric).num == 0


def simulated(root: Path, **run: Any) -> Path:
    """Simulate a bounded run on three ranks; the same settings give the same run."""
    settings = {
        "run": {"steps": 60, "directory": str(root), "progress_every_s": 1e6, "evaluate_every": 20}
        | run,
        "data": {"source": "synthetic", "num_samples": 60, "num_test": 9, "num_features": 3},
        "model": {"kind": "softmax"},
        "mode": {"kind": "ssp", "shards": 2, "bound": 2},
        "simulate": {"ranks": 3},
    }
    simulate_run(from_mapping(settings))
    return root


def test_the_course_of_a_run_is_read(tmp_path: Path) -> None:
    """Its evaluations with steps, samples, time; the last one at the end of the run."""
    found = course_of(simulated(tmp_path / "a"))
    assert (found.mode, found.bound, found.ranks, found.steps) == ("ssp", 2, 3, 60)
    assert found.points[-1].steps == 60
    assert len(found.points) == 3
    assert found.points[-1].time_s == pytest.approx(found.seconds, rel=1e-6)
    result = RunDirectory(tmp_path / "a").read_result() or {}
    assert found.points[-1].metric == result["metric"]
    assert found.samples == result["samples"]
    assert found.seconds == pytest.approx(result["seconds"], rel=1e-3)
    assert found.notes == []


def test_the_same_run_is_equal_and_another_seed_is_not(tmp_path: Path) -> None:
    """Parameters, steps, evaluations; what differs is named with both values."""
    one, same = simulated(tmp_path / "a"), simulated(tmp_path / "b")
    found = equality_of(one, same)
    assert found.is_equal, found.differences
    assert len(found.same) == 3
    other = equality_of(one, simulated(tmp_path / "c", seed=5))
    assert other.differences[0].startswith("parameters SHA-256 ")
    assert other.differences[1].startswith("rank 0, step 0: ")


def test_the_first_row_that_differs_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    """Of all ranks; times do not count, NaN is NaN, and a missing row is one."""
    one = make_run(3, 2, "ssp", bound=2)
    one.rows[0][0]["loss"] = float("nan")
    first = one.write(tmp_path / "a")
    for own in one.rows:
        for row in own:
            row["wait_s"] = 7.0
    assert equality_of(first, one.write(tmp_path / "b")).is_equal
    one.rows[2][4]["loss"] = 0.25
    one.rows[1][9]["version_read"][1] += 1
    found = equality_of(first, one.write(tmp_path / "c"))
    assert found.differences == ["rank 2, step 4: loss is 0, 0.25; 2 of 3 ranks differ"]
    one.rows[2][4]["loss"] = 0
    del one.rows[1][9:]
    (what,) = equality_of(first, one.write(tmp_path / "d")).differences
    assert what.startswith("rank 1, step 9: ")
    assert what.endswith(" steps, 9 steps; 1 of 3 ranks differ")


def test_a_resumed_run_may_equal_one_that_was_not(make_run: MakeRun, tmp_path: Path) -> None:
    """Rows are compared on the timeline, wherever one life ends."""
    first = make_run(2, 2, "bsp", share="equal", steps=20)
    second = first.next(first.state.point())
    second.go_on(20)
    first.write(tmp_path / "two")
    second.write(tmp_path / "two")
    whole = make_run(2, 2, "bsp", share="equal", steps=40).write(tmp_path / "one")
    found = equality_of(whole, tmp_path / "two")
    assert found.is_equal, found.differences
    assert found.same[1].startswith("40 steps of 2 ranks")


def test_nothing_is_said_of_a_run_without_a_log(make_run: MakeRun, tmp_path: Path) -> None:
    """Whose rows are missing cannot be said to be equal."""
    one = make_run(2, 1, "bsp", share="equal").write(tmp_path / "a")
    other = make_run(2, 1, "bsp", share="equal").write(tmp_path / "b")
    RunDirectory(other).log_path(0, 1).unlink()
    with pytest.raises(LogError, match="rank 1 is missing"):
        equality_of(one, other)
    more = make_run(3, 1, "bsp", share="equal").write(tmp_path / "c")
    assert equality_of(one, more).differences == ["2 ranks, 3 ranks"]


def test_a_mean_over_time_covers_what_all_runs_have() -> None:
    """One run was evaluated from 1 s to 3 s, its twin from 2 s to 6 s: from 2 s to 3 s."""
    runs = [course("a", [0.5, 0.7, 0.9]), course("b", [0.5, 0.7, 0.9], pace_s=2.0)]
    (group,) = groups_of(runs)
    assert group.places("time_s", 3).tolist() == [2.0, 2.5, 3.0]
    assert group.at(2.0, lambda point: point.metric, "time_s").mean == pytest.approx(0.6)
    apart = groups_of([runs[0], course("b", [0.5], pace_s=9.0)])[0]
    assert not len(apart.places("time_s", 3))
