from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpitrain.config import Config, from_mapping
from mpitrain.data.source import ArraySource
from mpitrain.running.best import Seen
from mpitrain.running.totals import Totals
from mpitrain.running.wording import early_stop_reason, ignored_here, summary

FACTS: dict[str, Any] = {
    "steps": 2700,
    "samples": 43110,
    "seconds": 2.0,
    "metric_name": "accuracy",
    "metric": 0.9806,
    "best_metric": 0.9833,
    "best_steps": 2004,
    "ended_early": False,
    "staleness_mean": 1.5,
    "staleness_max": 14,
    "lead_max": 3,
    "directory": "runs/x",
}
TOTALS = Totals(num_steps=2700, compute_s=1.0, read_s=0.5, write_s=0.5, wait_s=3.0)


def data(num_samples: int, num_test: int = 9) -> ArraySource:
    """Return so many samples."""
    x, y = np.zeros((max(num_samples, num_test), 2), np.float32), np.zeros(99, np.int64)
    return ArraySource(x[:num_samples], y[:num_samples], x[:num_test], y[:num_test], num_classes=2)


def test_summary_says_what_came_out_and_where_the_time_went() -> None:
    """Each line one subject; shares are those of all ranks' time."""
    assert summary(FACTS, TOTALS) == [
        "done: 2700 steps in 2.0 s, 21555 samples/s, accuracy 0.9806, in runs/x",
        "best accuracy 0.9833 at step 2004",
        "time: computing 20%, reading 10%, writing 10%, waiting 60%",
        "staleness: mean 1.50, largest 14; largest lead 3",
    ]


@pytest.mark.parametrize(
    ("metric", "mark", "delta", "why"),
    [
        (0.9833, 0.9833, 0.0, "in 5 evaluations was better than 0.9833 at step 2004"),
        (
            *(0.9833, 0.98, 0.01),
            "in 5 evaluations was better than 0.9800 by more than 0.01; the best is 0.9833 at "
            "step 2004",
        ),
        (None, None, 0.01, "was a finite number"),
    ],
)
def test_early_stop_is_told_with_what_was_not_beaten(
    metric: float | None, mark: float | None, delta: float, why: str
) -> None:
    """By how much it had to be, and the best where that is another."""
    seen = Seen(metric=metric, mark=mark, steps=2004, num_without=5, last_steps=2290)
    said = early_stop_reason(seen, "accuracy", steps=2300, delta=delta)
    assert said == f"early stop at step 2300: no accuracy {why}"
    lines = summary(FACTS, TOTALS, said)
    assert lines[1] == said
    assert not any(line.startswith("best") for line in lines)


def test_summary_does_not_say_the_best_metric_twice() -> None:
    """Nor at all when it is the last or there is none."""
    for facts in ({"best_steps": 2700}, {"best_metric": None, "metric": None, "seconds": 0.0}):
        assert not any("best" in line for line in summary(FACTS | facts, TOTALS))


def test_settings_without_use_for_these_data_or_this_job_are_told() -> None:
    """With the reason; a micro-batch as large as the mini-batch, or larger, is one."""
    for size, told in ((31, 0), (32, 1), (40, 1)):
        config = from_mapping({"data": {"batch_size": 32, "micro_batch_size": size}})
        assert len(list(ignored_here(config, data(40), in_job=False))) == told
    config = from_mapping({"run": {"evaluate_every": 5, "stop_before_limit_s": 60.0}})
    assert list(ignored_here(config, data(40, 0), in_job=False)) == [
        "run.evaluate_every = 5 (there are no test samples)",
        "run.stop_before_limit_s = 60 (this is no Slurm job)",
    ]
    assert not list(ignored_here(config, data(40), in_job=True))
    words = {"data": {"batch_size": 2**63 - 1, "micro_batch_size": 9}}
    assert list(ignored_here(from_mapping(words), data(9), in_job=False)) == [
        "data.batch_size = 9223372036854775807 (there are 9 training samples; a mini-batch is all "
        "of them)",
        "data.micro_batch_size = 9 (a mini-batch has 9 samples)",
    ]
    assert not list(ignored_here(Config(), data(9), in_job=False))  # nobody gave 32
