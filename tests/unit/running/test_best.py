from __future__ import annotations

import json

import pytest

from mpitrain.config import Config, from_mapping
from mpitrain.running.best import Best, Seen


def looked(best: Best, *metrics: float | None) -> Best:
    """Show ``best`` an evaluation every 10 steps."""
    first = best.seen.last_steps
    for number, metric in enumerate(metrics, start=1):
        best.look(first + 10 * number, metric)
    return best


def stopping(**run: float | None) -> Config:
    """Return a configuration that stops early."""
    return from_mapping({"run": {"evaluate_every": 10, **run}})


def test_best_is_the_largest_or_the_smallest_as_asked() -> None:
    """checkpoint.best says which; equal is not better, and what is no number never is."""
    metrics = (0.5, 0.7, float("nan"), 0.7, 0.6, None, float("inf"))
    largest, smallest = looked(Best(), *metrics), looked(Best(seen=Seen(is_larger_better=False)))
    assert (largest.seen.metric, largest.seen.steps) == (0.7, 20)
    looked(smallest, *metrics)
    assert (smallest.seen.metric, smallest.seen.steps) == (0.5, 10)
    assert (Best().seen.metric, looked(Best(), None).seen.num_without) == (None, 0)


def test_run_ends_after_so_many_evaluations_without_a_better_metric() -> None:
    """The count begins anew with each better one; without a limit it never ends."""
    best = looked(Best(limit=3), 0.5, 0.4, 0.3, 0.6, 0.6, 0.6)
    assert not best.is_enough(1000)
    looked(best, 0.6)
    assert best.is_enough(1000)
    assert not looked(Best(), *[0.5] * 50).is_enough(1000)


def test_end_comes_only_when_a_step_more_was_done() -> None:
    """So that all ranks of a synchronous run can agree on it in that step."""
    best = looked(Best(limit=1), 0.5, 0.5)
    assert [best.is_enough(steps) for steps in (20, 21)] == [False, True]


def test_metric_that_is_better_by_too_little_does_not_count() -> None:
    """It is the best one nevertheless; small gains add up."""
    best = looked(Best(limit=2, least=0.25), 0.5, 0.625)
    assert (best.seen.metric, best.seen.num_without) == (0.625, 1)
    looked(best, 0.875)
    assert (best.seen.mark, best.seen.num_without) == (0.875, 0)
    looked(best, 1.0, 1.125)
    assert best.is_enough(1000)


def test_state_comes_back_from_a_checkpoint() -> None:
    """A stopped run counts on where it was; an old checkpoint has nothing to count on."""
    seen = looked(Best(limit=3), 0.5, 0.4, 0.4).seen
    back = Best.of(stopping(early_stop=3), Seen.of(json.loads(json.dumps(seen.to_mapping()))))
    assert back.seen == seen
    assert not back.is_enough(1000)
    assert looked(back, 0.4).is_enough(1000)
    assert Seen.of({}) == Seen()


def test_run_that_had_ended_early_counts_anew() -> None:
    """It was asked to go on; its best metric stays the one to beat."""
    ended = looked(Best(limit=1), 0.5, 0.4)
    ended.end()
    again = Best.of(stopping(early_stop=1), ended.seen)
    assert again.seen.has_ended  # it has only to say so
    again.begin_anew()
    assert not again.is_enough(1000)
    assert (again.seen.metric, again.seen.has_ended) == (0.5, False)
    assert looked(again, 0.45).is_enough(1000)


@pytest.mark.parametrize(
    ("steps", "every_steps", "num_without"), [(30, 10, 1), (29, 10, 0), (29, None, 0), (47, 10, 1)]
)
def test_evaluation_at_the_end_counts_where_a_longer_run_has_one(
    steps: int, every_steps: int | None, num_without: int
) -> None:
    """A run in two parts ends where one in one part does; the best metric is any."""
    worse, better = looked(Best(), 0.4, 0.5), looked(Best(), 0.4, 0.5)
    worse.look_at_end(steps, 0.45, every_steps)
    assert (worse.seen.metric, worse.seen.num_without) == (0.5, num_without)
    better.look_at_end(steps, 0.75, every_steps)
    assert (better.seen.metric, better.seen.steps, better.seen.num_without) == (0.75, steps, 0)


def test_best_of_the_other_direction_is_forgotten() -> None:
    """A largest metric says nothing about a smallest one."""
    seen = looked(Best(), 0.5).seen
    config = from_mapping({"checkpoint": {"best": "smallest"}})
    assert Best.of(config, seen).seen == Seen(is_larger_better=False)


@pytest.mark.parametrize(
    "values",
    [{"metric": "x"}, {"steps": 1.5}, {"mark": float("nan")}, {"has_ended": 1}, {"other": 1}],
)
def test_nonsense_in_a_checkpoint_is_refused(values: dict[str, object]) -> None:
    """Names and kinds are looked at; the error names the one."""
    with pytest.raises(TypeError, match=next(iter(values))):
        Seen.of(values)
