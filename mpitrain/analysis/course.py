"""The course of a run: loss and metric at its evaluations, against time, samples and steps."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.analysis.attributes import needed_terms_of, said_of
from mpitrain.core.batches import BatchOrder
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import RunLog, open_log
from mpitrain.storage.timeline import Stretch, chain_of

NOT_SETTINGS = ("environment", "log")
OWN = ("run.seed", "run.directory", "run.name", "run.progress_every_s")
"""Settings in which runs of one group may differ: the seed, places, what is told meanwhile."""
TIMES = ("began_s", "wait_s", "read_s", "compute_s", "write_s")


@dataclass(frozen=True, kw_only=True)
class Point:
    """An evaluation.

    Attributes:
        steps: of all ranks, done by then.
        samples: of these steps.
        time_s: seconds of training by then.
        loss: mean over the test set; NaN where it is not finite.
        metric: the same; None where the model has none.
    """

    steps: int
    samples: int
    time_s: float
    loss: float
    metric: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Course:
    """What a run did.

    Attributes:
        root: run directory.
        settings: of run.toml, by dotted name; empty where it cannot be read.
        mode: of the newest life.
        bound: of ssp.
        ranks: of the newest life.
        seed: of the run, as its log says.
        steps: of all ranks, on the timeline.
        samples: of these.
        seconds: of training.
        metric_name: for example "accuracy"; None where nothing was evaluated.
        points: evaluations, oldest first.
        is_done: the run has ended by itself.
        notes: what is missing, for people.
    """

    root: Path
    settings: Mapping[str, Any]
    mode: str
    bound: int | None
    ranks: int
    seed: int | str | None
    steps: int
    samples: int
    seconds: float
    metric_name: str | None
    points: list[Point]
    is_done: bool
    notes: list[str]

    @property
    def steps_per_s(self) -> float:
        """Steps of all ranks together."""
        return self.steps / self.seconds if self.seconds else 0.0

    @property
    def is_larger_better(self) -> bool:
        """Of the metric, as the run file says."""
        return str(self.settings.get("checkpoint.best", "largest")) != "smallest"


def course_of(root: Path) -> Course:
    """Read the course of a run.

    Raises:
        LogError: there is no log that can be read.
    """
    log = open_log(root)
    chain, reason = chain_of(log.lives)
    if not chain:
        missing = [f"{path}: {why}" for life in log.lives for path, why in life.missing]
        raise LogError(missing[0] if missing else f"{root} has no log to read")
    lives = [_Life(stretch) for stretch in chain]
    found = list(_evaluations(lives, chain))
    newest, result = chain[-1].life, log.directory.read_result() or {}
    terms = needed_terms_of(newest)
    before = BatchOrder(0, terms.batch_size, terms.num_samples).num_samples_before
    steps = chain[0].life.start.steps + sum(life.num_rows for life in lives)
    name = _metric_name(result, [detail for _, detail in found])
    return Course(
        root=root,
        settings=settings_of(root),
        mode=terms.mode,
        bound=terms.bound,
        ranks=newest.size,
        seed=said_of(newest.ranks[min(newest.ranks)], "seed"),
        steps=steps,
        samples=before(steps),
        seconds=sum(life.seconds for life in lives),
        metric_name=name,
        points=[_point(time_s, detail, name, before) for time_s, detail in found],
        is_done=bool(result),
        notes=list(_notes(log, chain, reason, num_evaluations=len(found), is_done=bool(result))),
    )


class _Life:
    """Length of a life's part of the timeline, and where it begins."""

    def __init__(self, stretch: Stretch) -> None:
        begins, ends = [np.inf], [-np.inf]
        self.num_rows = 0
        for segment in stretch.segments():
            num_rows = segment.num_rows
            self.num_rows += num_rows
            for first, rows in segment.log.slices(TIMES, num_rows, max(num_rows, 1)):
                if not first:
                    begins.append(float(rows["began_s"][0]))
                ends.append(float(sum(np.float64(rows[name][-1]) for name in TIMES)))
        self.began_s = min(begins)
        self.seconds = max(0.0, max(ends) - self.began_s) if self.num_rows else 0.0


def _evaluations(
    lives: Sequence[_Life], chain: Sequence[Stretch]
) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """Yield seconds of training and detail of every evaluation on the timeline, once each."""
    earlier_s = 0.0
    stops = [*(after.life.start.steps for after in chain[1:]), float("inf")]
    for life, stretch, stop in zip(lives, chain, stops, strict=True):
        first = min(stretch.life.ranks)
        for at_s, kind, detail in stretch.life.ranks[first].events:
            steps = detail.get("steps")
            if kind == "evaluation" and isinstance(steps, int) and steps <= stop:
                spent_s = min(max(0.0, at_s - life.began_s), life.seconds)
                yield earlier_s + spent_s, detail
        earlier_s += life.seconds


def _point(
    time_s: float, detail: Mapping[str, Any], name: str | None, before: Callable[[int], int]
) -> Point:
    loss, metric = detail.get("loss"), detail.get(name or "")
    return Point(
        steps=detail["steps"],
        samples=before(detail["steps"]),
        time_s=time_s,
        loss=float("nan") if loss is None else float(loss),
        metric=None if metric is None else float(metric),
    )


def _metric_name(result: Mapping[str, Any], details: Sequence[Mapping[str, Any]]) -> str | None:
    if isinstance(result.get("metric_name"), str):
        return str(result["metric_name"])
    names = [name for detail in details for name in detail if name not in _OF_EVERY_EVALUATION]
    return names[0] if names else None


_OF_EVERY_EVALUATION = ("steps", "loss", "versions")


def settings_of(root: Path) -> dict[str, Any]:
    """Return the settings in run.toml by dotted name; nothing where it cannot be read."""
    try:
        with (root / "run.toml").open("rb") as file:
            tables = tomllib.load(file)
    except (OSError, ValueError):
        return {}
    return {
        f"{table}.{name}": value
        for table, values in tables.items()
        if table not in NOT_SETTINGS and isinstance(values, dict)
        for name, value in values.items()
    }


def _notes(
    log: RunLog,
    chain: Sequence[Stretch],
    reason: str | None,
    *,
    num_evaluations: int,
    is_done: bool,
) -> Iterator[str]:
    root = log.directory.root
    for stretch in chain:
        for path, why in stretch.life.missing:
            yield f"{path}: {why}; its steps are not counted"
        if 0 not in stretch.life.ranks:
            yield f"{root}: evaluations are in the log of rank 0, which is missing"
    if reason is not None:
        yield f"{root}: the timeline breaks off: {reason}"
    if not num_evaluations:
        yield f"{root} has no evaluation yet; run.evaluate_every asks for more than one at the end"
    elif not is_done:
        yield f"{root} has no result: it runs or was stopped"
