"""Runs side by side: groups that differ only in the seed, means and spread, speed to a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.course import OWN, Course, Point

Numbers = npt.NDArray[np.float64]
Number = Callable[[Point], float | None]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be reached.

    Attributes:
        value: of loss or metric.
        on: "loss" or "metric".
        is_larger_better: more counts as reached too; else less does.
        is_given: by the user; else it is the most that all runs reached.
    """

    value: float
    on: str
    is_larger_better: bool
    is_given: bool = True

    def reached_by(self, course: Course) -> Point | None:
        """Return the first evaluation at which a run was there."""
        return next((point for point in course.points if self._is_met(point)), None)

    def _is_met(self, point: Point) -> bool:
        value = value_of(point, self.on)
        if value is None:
            return False
        return value >= self.value if self.is_larger_better else value <= self.value


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and spread of some runs' numbers.

    Attributes:
        mean: NaN of none.
        deviation: standard deviation over the runs, with n - 1; None of fewer than two.
        num: numbers there were.
    """

    mean: float
    deviation: float | None
    num: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread:
        """Return that of the numbers among ``values``."""
        there = np.array([value for value in values if value is not None], np.float64)
        there = there[np.isfinite(there)]
        num = len(there)
        deviation = float(there.std(ddof=1)) if num > 1 else None
        return cls(mean=float(there.mean()) if num else float("nan"), deviation=deviation, num=num)

    def text(self, digits: int) -> str:
        """Return it for people."""
        if not self.num:
            return "-"
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ only in the seed.

    Attributes:
        label: in what the group differs from the others.
        courses: the runs.
    """

    label: str
    courses: list[Course]

    def spread(self, number: Callable[[Course], float | None]) -> Spread:
        """Return mean and spread of a number over the runs."""
        return Spread.of([number(course) for course in self.courses])

    def at(self, place: float, number: Number, along: str = "steps") -> Spread:
        """Return mean and spread of a number at a place, between evaluations by a line.

        Args:
            place: in steps, samples or seconds.
            number: of an evaluation.
            along: "steps", "samples" or "time_s".
        """
        return Spread.of([_at(course, place, number, along) for course in self.courses])

    def places(self, along: str, num: int) -> Numbers:
        """Return evenly spaced places where every run has a value: (num,), or none at all."""
        ranges = [[getattr(point, along) for point in course.points] for course in self.courses]
        if not all(ranges) or max(map(min, ranges)) > min(map(max, ranges)):
            return np.empty(0)
        return np.linspace(max(map(min, ranges)), min(map(max, ranges)), num)


def value_of(point: Point, on: str) -> float | None:
    """Return "loss" or "metric" of an evaluation."""
    return point.loss if on == "loss" else point.metric


def _at(course: Course, place: float, number: Number, along: str) -> float | None:
    pairs = [
        (getattr(point, along), value)
        for point in course.points
        if (value := number(point)) is not None
    ]
    if not pairs or not pairs[0][0] <= place <= pairs[-1][0]:
        return None
    places, values = (np.array(numbers) for numbers in zip(*pairs, strict=True))
    return float(np.interp(place, places, values))


def groups_of(courses: Sequence[Course]) -> list[Group]:
    """Return the runs in groups, in the order in which they were named."""
    by_key: dict[str, list[Course]] = {}
    for course in courses:
        by_key.setdefault(_key(course), []).append(course)
    members = list(by_key.values())
    differing = _differing([_settings(group[0]) for group in members])
    labels = [_label(group[0], differing) for group in members]
    return [
        Group(label if labels.count(label) == 1 and label else group[0].root.name, group)
        for label, group in zip(labels, members, strict=True)
    ]


def _settings(course: Course) -> dict[str, Any]:
    kept = {name: value for name, value in course.settings.items() if name not in OWN}
    return {"mode.kind": course.mode, "mode.bound": course.bound, "ranks": course.ranks, **kept}


def _key(course: Course) -> str:
    """Return what runs of a group have in common; a run without run.toml stands alone."""
    return repr(sorted(_settings(course).items())) if course.settings else str(course.root)


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return in what groups differ, of what all of them have: some settings only one mode uses."""
    common = [name for name in settings[0] if all(name in one for one in settings)]
    return [name for name in common if len({repr(one[name]) for one in settings}) > 1]


def _label(course: Course, differing: Sequence[str]) -> str:
    settings = _settings(course)
    parts = [course.mode if course.bound is None else f"{course.mode} {course.bound}"]
    if not {"mode.kind", "mode.bound"} & set(differing):
        parts = []
    for name in differing:
        if name not in ("mode.kind", "mode.bound"):
            parts.append(f"{name}={settings[name]}")
    return ", ".join(parts)


def target_of(courses: Sequence[Course], value: float | None, on: str | None) -> Target | None:
    """Return what is to be reached: what was given, or the most that every run reached.

    Args:
        courses: the runs.
        value: to reach; None was not given.
        on: "loss" or "metric"; None takes the metric where every run has one.

    Returns:
        None where some run was never evaluated and nothing was given.
    """
    has_metric = all(any(p.metric is not None for p in course.points) for course in courses)
    on = on or ("metric" if has_metric else "loss")
    is_larger = on == "metric" and courses[0].is_larger_better
    if value is not None:
        return Target(value=value, on=on, is_larger_better=is_larger)
    best = max if is_larger else min
    values = [[v for p in c.points if (v := value_of(p, on)) is not None] for c in courses]
    if not all(values):
        return None
    worst = min if is_larger else max
    common = worst(best(one) for one in values)
    return Target(value=common, on=on, is_larger_better=is_larger, is_given=False)


def grid_of(groups: Sequence[Group], most: int) -> list[int]:
    """Return steps at which all runs can be compared: evaluations of the run that has fewest."""
    courses = [course for group in groups for course in group.courses if course.points]
    if not courses:
        return []
    first = max(course.points[0].steps for course in courses)
    last = min(course.points[-1].steps for course in courses)
    fewest = min(courses, key=lambda course: len(course.points))
    steps = sorted({p.steps for p in fewest.points if first <= p.steps <= last} | {last})
    if len(steps) <= most:
        return steps
    return [steps[i] for i in np.linspace(0, len(steps) - 1, most).round().astype(int)]
