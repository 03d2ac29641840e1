"""The course of a run: loss and metric at its evaluations, against time, samples and steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.analysis.attributes import needed_terms_of, said_of
from mpitrain.analysis.facts import configuration_of, settings_of
from mpitrain.analysis.happenings import evaluations_of, events_of
from mpitrain.analysis.lacking import read_or_empty
from mpitrain.analysis.phase_times import times_of, totals_of
from mpitrain.analysis.readable import Opened, open_readable
from mpitrain.core.batches import BatchOrder

NOT_SETTINGS = ("environment", "log")
OWN = ("run.seed", "run.directory", "run.name", "run.progress_every_s")
"""Settings in which runs of one group may differ: the seed, places, what is told meanwhile."""


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
        missing: those of them that are about pieces of logs.
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
    missing: Sequence[str] = ()

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
    run = open_readable(root)
    newest, totals = run.newest, totals_of(run, times_of(run))
    terms, result = needed_terms_of(newest), read_or_empty(run.log.directory, "result")
    before = BatchOrder(0, terms.batch_size, terms.num_samples).num_samples_before
    evaluations = [one for one in evaluations_of(events_of(run)) if one["steps"] is not None]
    names = [result.get("metric_name"), *(one["metric_name"] for one in evaluations)]
    tables = configuration_of(run.log.directory)
    return Course(
        root=root,
        settings=settings_of({n: table for n, table in tables.items() if n not in NOT_SETTINGS}),
        mode=terms.mode,
        bound=terms.bound,
        ranks=newest.size,
        seed=said_of(newest.ranks[min(newest.ranks)], "seed"),
        steps=run.num_rows,
        samples=totals["samples"],
        seconds=totals["seconds"],
        metric_name=next((name for name in names if isinstance(name, str)), None),
        points=[_point(one, before) for one in evaluations],
        is_done=bool(result),
        notes=list(_notes(run, num_evaluations=len(evaluations), is_done=bool(result))),
        missing=run.missing,
    )


def _point(evaluation: Mapping[str, Any], before: Callable[[int], int]) -> Point:
    loss, steps = evaluation["loss"], int(evaluation["steps"])
    return Point(
        steps=steps,
        samples=before(steps),
        time_s=evaluation["time_s"],
        loss=float("nan") if loss is None else float(loss),
        metric=evaluation["metric"],
    )


def _notes(run: Opened, *, num_evaluations: int, is_done: bool) -> Iterator[str]:
    root = run.log.directory.root
    yield from run.missing
    if any(0 not in stretch.life.ranks for stretch in run.chain):
        yield f"{root}: evaluations are in the log of rank 0, which is missing"
    if not num_evaluations:
        yield f"{root} has no evaluation yet; run.evaluate_every asks for more than one at the end"
    elif not is_done:
        yield f"{root} has no result: it runs or was stopped"
