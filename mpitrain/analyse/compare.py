"""Several runs side by side, and whether they are equal."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mpitrain.analyse.compare_plot import draw
from mpitrain.analyse.picture import add_plot, check_plot
from mpitrain.analyse.tables import new_table
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analysis.comparison import Group, Spread, Target, grid_of, groups_of, target_of
from mpitrain.analysis.course import Course, Point, course_of
from mpitrain.analysis.equality import Equality, equality_of
from mpitrain.core.errors import UserError

MOST_STEPS = 10  # rows of a table
EXAMPLE = "example: mpitrain analyse compare runs/bsp-* runs/ssp-* --target 0.95 --plot runs.svg"

Number = Callable[[Course], "float | None"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundirs", type=Path, metavar="RUNDIR", nargs="+")
    parser.add_argument("--target", type=float, help="metric (or loss) to reach; default: the best "
                        "that every run reached")  # fmt: skip
    parser.add_argument("--on", choices=("metric", "loss"), help="what --target is of")
    add_plot(parser)
    parser.add_argument("--equal", action="store_true", help="are these runs the same in all but "
                        "times? exit code 1 where not")  # fmt: skip
    parser.epilog = EXAMPLE


def _run(options: argparse.Namespace) -> Answer:
    if len(options.rundirs) < 2:  # a comparison
        message = "compare needs two run directories or more"
        raise UserError(message)
    check_plot(options.plot)
    if options.equal:
        return _equal(options.rundirs)
    courses = [course_of(root) for root in options.rundirs]
    groups = groups_of(courses)
    target = target_of(courses, options.target, options.on)
    if options.plot is not None:
        draw(groups, target, options.plot)
    return Answer(
        facts_of(groups, target),
        lambda: _show(groups, target, options.plot),
        missing=[what for course in courses for what in course.missing],
    )


def _equal(roots: Sequence[Path]) -> Answer:
    found = [equality_of(roots[0], other) for other in roots[1:]]
    is_equal = all(one.is_equal for one in found)
    facts = {"equal": is_equal, "pairs": [_facts_of_pair(one) for one in found]}
    return Answer(facts, lambda: _show_equality(found), 0 if is_equal else 1)


def _facts_of_pair(one: Equality) -> dict[str, Any]:
    return {
        "first": str(one.first), "second": str(one.second), "equal": one.is_equal,
        "differences": one.differences, "same": one.same, "notes": one.notes,
    }  # fmt: skip


def _show_equality(found: Sequence[Equality]) -> None:
    out = console()
    for one in found:
        word = "equal" if one.is_equal else "DIFFERENT"
        out.print(f"{one.first} and {one.second}: {word}", style="bold")
        for line in one.differences:
            out.print(f"  differs: {line}", style="red")
        for line in one.same:
            out.print(f"  same: {line}")
        for line in one.notes:
            out.print(f"  note: {line}")


def facts_of(groups: Sequence[Group], target: Target | None) -> dict[str, Any]:
    """Return everything that was found, for programs."""
    return {
        "target": None if target is None else asdict(target),
        "groups": [_facts_of_group(group, groups[0], target) for group in groups],
    }


def _facts_of_group(group: Group, first: Group, target: Target | None) -> dict[str, Any]:
    return {
        "label": group.label,
        **{name: asdict(group.spread(number)) for name, number in NUMBERS.items()},
        **_facts_of_target(group, first, target),
        "runs": [_facts_of_run(course, target) for course in group.courses],
    }


def _facts_of_target(group: Group, first: Group, target: Target | None) -> dict[str, Any]:
    if target is None:
        return {}
    return {
        "reached": sum(target.reached_by(course) is not None for course in group.courses),
        "speed_up": speed_up(group, first, target),
        **{f"{name}_to_target": asdict(group.spread(number)) for name, number in _to(target)},
    }


def _facts_of_run(course: Course, target: Target | None) -> dict[str, Any]:
    reached = None if target is None else target.reached_by(course)
    names = ("mode", "bound", "ranks", "seed", "steps", "samples", "seconds", "steps_per_s",
             "metric_name", "is_done", "notes")  # fmt: skip
    return {
        "directory": str(course.root),
        **{name: getattr(course, name) for name in names},
        "reached": None if reached is None else asdict(reached),
        "evaluations": [asdict(point) for point in course.points],
    }


def _last(course: Course, name: str) -> float | None:
    return getattr(course.points[-1], name) if course.points else None


def _best(course: Course) -> float | None:
    best = max if course.is_larger_better else min
    return best((p.metric for p in course.points if p.metric is not None), default=None)


NUMBERS: dict[str, Number] = {
    "seconds": lambda course: course.seconds,
    "steps_per_s": lambda course: course.steps_per_s,
    "loss": lambda course: _last(course, "loss"),
    "metric": lambda course: _last(course, "metric"),
    "best_metric": _best,
}
DIGITS = {"seconds": 2, "steps_per_s": 0, "loss": 4, "metric": 4, "best_metric": 4}


def _to(target: Target) -> Iterator[tuple[str, Number]]:
    for name in ("time_s", "samples", "steps"):
        yield name, _number_at(target, name)


def _number_at(target: Target, name: str) -> Number:
    def number(course: Course) -> float | None:
        point = target.reached_by(course)
        return None if point is None else float(getattr(point, name))

    return number


def speed_up(group: Group, first: Group, target: Target) -> float | None:
    """Return how much sooner a group was there than the first one; None if not all runs were."""
    times = [one.spread(_number_at(target, "time_s")) for one in (first, group)]
    if times[0].num < len(first.courses) or times[1].num < len(group.courses):
        return None
    return times[0].mean / times[1].mean if times[1].mean else None


def _show(groups: Sequence[Group], target: Target | None, plot: Path | None) -> None:
    out = console()
    name = groups[0].courses[0].metric_name or "metric"
    _show_numbers(groups, name)
    if target is not None:
        _show_target(groups, target, name)
    grid = grid_of(groups, MOST_STEPS)
    for title, number, digits in _curves(name):
        if grid:
            _show_curve(groups, grid, title, number, digits)
    if plot is not None:
        out.print(f"drawn: {plot}")
    for note in (note for group in groups for course in group.courses for note in course.notes):
        out.print(f"note: {note}")


def _show_numbers(groups: Sequence[Group], name: str) -> None:
    table = new_table("runs; mean ± standard deviation of those that differ only in the seed")
    table.add_column("")
    for head in ("runs", "ranks", "s", "steps/s", "loss", name, f"best {name}"):
        table.add_column(head, justify="right", no_wrap=True)
    for group in groups:
        cells = [group.spread(number).text(DIGITS[key]) for key, number in NUMBERS.items()]
        table.add_row(group.label, str(len(group.courses)), str(group.courses[0].ranks), *cells)
    console().print(table)


def _show_target(groups: Sequence[Group], target: Target, name: str) -> None:
    what = name if target.on == "metric" else "loss"
    why = "" if target.is_given else ", the best that every run reached"
    sign = ">=" if target.is_larger_better else "<="
    table = new_table(f"to {what} {sign} {target.value:.6g}{why} (at an evaluation)")
    table.add_column("")
    for head in ("reached by", "s", "samples", "steps", "speed-up"):
        table.add_column(head, justify="right", no_wrap=True)
    for group in groups:
        reached = sum(target.reached_by(course) is not None for course in group.courses)
        faster = speed_up(group, groups[0], target)
        table.add_row(
            group.label,
            f"{reached} of {len(group.courses)}",
            *(group.spread(n).text(2 if key == "time_s" else 0) for key, n in _to(target)),
            "-" if faster is None else f"{faster:.2f}",
        )
    console().print(table)


def _curves(name: str) -> list[tuple[str, Callable[[Point], float | None], int]]:
    return [
        ("loss", lambda point: point.loss, 4),
        (name, lambda point: point.metric, 4),
        ("seconds of training", lambda point: point.time_s, 2),
    ]


def _show_curve(
    groups: Sequence[Group],
    grid: Sequence[int],
    title: str,
    number: Callable[[Point], float | None],
    digits: int,
) -> None:
    spreads = {steps: [group.at(steps, number) for group in groups] for steps in grid}
    if not any(spread.num for row in spreads.values() for spread in row):
        return
    table = new_table(f"{title}, by steps")
    for head in ("steps", "samples", *(group.label for group in groups)):
        table.add_column(head, justify="right")
    for steps, row in spreads.items():
        samples = groups[0].at(steps, lambda point: float(point.samples))
        table.add_row(str(steps), _counted(samples), *(spread.text(digits) for spread in row))
    console().print(table)


def _counted(samples: Spread) -> str:
    return str(round(samples.mean)) if samples.num else "-"


TOOL = Tool(
    "compare",
    "Runs side by side: loss and metric against time, samples and steps, and how soon each reached "
    "a target; runs that differ only in the seed are put together, with their spread. Exit code 0; "
    "1: --equal found a difference; 2: something is no run directory.",
    _add_arguments,
    _run,
)
