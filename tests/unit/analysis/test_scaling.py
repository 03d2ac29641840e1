"""What more ranks gain: speed once a run is warm, speed-up and efficiency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.scaling import Speed, scaling_of, speed_of

MakeRun = Callable[..., Any]


def speed(ranks: int, steps: int, seconds: float) -> Speed:
    """Return a speed with ten samples a step."""
    return Speed(
        directory=f"ranks-{ranks}",
        mode="bsp",
        bound=None,
        status="done",
        ranks=ranks,
        nodes=1,
        steps=steps,
        samples=10 * steps,
        seconds=seconds,
        wait_share=0.0,
        staleness=0.0,
    )


def clockwork(run: Any, slow: int) -> None:
    """Let each rank take a step a second; the first ``slow`` ones of each take nine more."""
    for own in run.rows:
        now_s = 100.0  # a life may begin at any time
        for index, row in enumerate(own):
            length_s = 10.0 if index < slow else 1.0
            row["began_s"], row["wait_s"], row["compute_s"] = now_s, 0.25 * length_s, 0.0
            row["compute_s"] = 0.75 * length_s
            row["num_samples"] = 8
            now_s += length_s


def test_the_warm_up_does_not_count(make_run: MakeRun, tmp_path: Path) -> None:
    """Three slow steps of ten: 30 s of 37 s; without them two ranks take two steps a second."""
    run = make_run(2, 2, "bsp", share="equal", steps=20)
    clockwork(run, slow=3)
    opened = open_readable(run.write(tmp_path / "run"))
    warm = speed_of(opened, 30 / 37)
    assert (warm.ranks, warm.nodes, warm.steps, warm.samples) == (2, 2, 14, 112)
    assert warm.steps_per_s == pytest.approx(2.0)
    assert warm.samples_per_s == pytest.approx(16.0)
    assert warm.wait_share == pytest.approx(0.25)
    whole = speed_of(opened, 0.0)
    assert whole.steps_per_s == pytest.approx(20 / 37)
    assert whole.steps == 20


def test_each_life_has_its_own_warm_up(make_run: MakeRun, tmp_path: Path) -> None:
    """The pause between two lives is no time, and both begin slowly."""
    first = make_run(2, 2, "bsp", share="equal", steps=20)
    second = first.next(first.state.point())
    second.go_on(20)
    for life in (first, second):
        clockwork(life, slow=3)
        life.write(tmp_path / "run")
    warm = speed_of(open_readable(tmp_path / "run"), 30 / 37)
    assert warm.steps == 28
    assert warm.steps_per_s == pytest.approx(2.0)


def test_staleness_is_the_mean_of_what_counts(make_run: MakeRun, tmp_path: Path) -> None:
    """Of all ranks together."""
    run = make_run(3, 2, "asp")
    rows = [row for own in run.rows for row in own]
    for index, row in enumerate(rows):
        row["staleness_mean"] = float(index % 3)
    mean = sum(row["staleness_mean"] for row in rows) / len(rows)
    found = speed_of(open_readable(run.write(tmp_path / "run")), 0.0)
    assert found.staleness == pytest.approx(mean)
    assert found.steps == len(rows)


def test_speed_up_is_over_the_fewest_ranks() -> None:
    """In samples, whatever the order; efficiency is over as many more ranks."""
    rows = scaling_of([speed(8, 400, 10.0), speed(2, 200, 10.0), speed(4, 300, 10.0)])
    assert [row["ranks"] for row in rows] == [2, 4, 8]
    assert [row["samples_per_s"] for row in rows] == [200, 300, 400]
    assert [row["speed_up"] for row in rows] == [1.0, 1.5, 2.0]
    assert [row["efficiency"] for row in rows] == [1.0, 0.75, 0.5]


def test_what_is_unknown_is_none() -> None:
    """A run without a step that counts has no speed; as the yardstick it leaves all without."""
    rows = scaling_of([speed(1, 100, 1.0), speed(2, 0, 0.0)])
    assert [row["speed_up"] for row in rows] == [1.0, None]
    assert rows[1]["efficiency"] is None
    assert [row["speed_up"] for row in scaling_of([speed(1, 0, 0.0), speed(2, 9, 1.0)])] == [
        None,
        None,
    ]
