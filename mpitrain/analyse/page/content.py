"""What a page says of runs, in the order in which it says it: texts, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.analyse.page import curves, ranks
from mpitrain.analyse.page.events import Table, table_of_events
from mpitrain.analyse.page.svg import inline_svg
from mpitrain.analyse.words import NONE, duration, mode_of, number, percent
from mpitrain.analysis.happenings import counts_by_kind
from mpitrain.analysis.outline import Outline, differences, totals, waited_for_most
from mpitrain.analysis.report import Report
from mpitrain.core.console import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FINDINGS = 20
MAX_LABEL = 20  # characters in a figure
MAX_RANK_ROWS = 128
PHASES = ("wait", "read", "compute", "write")  # columns of a table
SIMULATED = ("simulate",)  # a table of run.toml that says nothing of a run that took place


@dataclass(frozen=True)
class Picture:
    """A figure on a page.

    Attributes:
        name: of its place, unique on the page.
        title: above it, and read aloud in its place.
        caption: below it.
        svg: the figure.
    """

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    """One run."""

    anchor: str
    title: str
    place: str
    state: str
    verdict: str
    is_ok: bool
    findings: list[str]
    notes: list[str]
    sentences: list[str]
    facts: list[tuple[str, str]]
    pictures: list[Picture]
    per_rank: Table
    events: Table
    event_counts: str
    config: list[tuple[str, list[tuple[str, str]]]]


@dataclass(frozen=True)
class Comparison:
    """Several runs together."""

    table: Table
    pictures: list[Picture]
    settings: Table


def section_of(
    run: Outline, report: Report, label: str, index: int, *, has_pictures: bool = True
) -> Section:
    """Return what is said of one run."""
    said = totals(run)
    return Section(
        anchor=f"run-{index}",
        title=label,
        place=str(run.root),
        state=_state(run),
        verdict=report.summary(),
        is_ok=report.ok,
        findings=[str(finding) for finding in report.findings[:MAX_FINDINGS]],
        notes=list(dict.fromkeys([*run.notes, *report.notes])),
        sentences=sentences(run, said),
        facts=_facts(run, said),
        pictures=pictures_of(run, f"r{index}") if has_pictures else [],
        per_rank=_per_rank(run),
        events=table_of_events(run.events),
        event_counts=", ".join(
            f"{kind}: {num}" for kind, num in counts_by_kind(run.events).items()
        ),
        config=[
            (table, [(name, _setting(value)) for name, value in settings.items()])
            for table, settings in run.config.items()
            if isinstance(settings, dict) and table not in SIMULATED
        ],
    )


def comparison_of(
    runs: Sequence[Outline], reports: Sequence[Report], labels: Sequence[str]
) -> Comparison:
    """Return what is said of several runs together."""
    differing = differences(list(runs))
    rows = [[name, *map(_setting, values)] for name, values in differing.items()]
    return Comparison(
        table=_compared(runs, reports, labels),
        pictures=_compared_pictures(runs, [shortened(label) for label in labels]),
        settings=Table(["setting", *labels], rows),
    )


def labels_of(roots: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell the runs apart."""
    parts = [root.absolute().parts for root in roots]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(path[-length:]) for path in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [f"{index + 1}: {path[-1]}" for index, path in enumerate(parts)]


def shortened(label: str) -> str:
    """Return the end of a label that is too long for a figure."""
    return label if len(label) <= MAX_LABEL else f"…{label[-MAX_LABEL + 1 :]}"


def pictures_of(run: Outline, prefix: str) -> list[Picture]:
    """Return the figures of one run, those that it has something for."""
    pictures = [
        _picture(
            f"{prefix}-loss", "Loss",
            "Each point of the line is the mean over all mini-batches of a short time."
            + (" Dotted: a life began from a checkpoint." if run.num_lives > 1 else ""),
            lambda: curves.loss_figure(run),
        )
    ]  # fmt: skip
    if has_curve(run):
        last = float(curves.metric(run)[np.isfinite(curves.metric(run))][-1])
        pictures.append(
            _picture(
                f"{prefix}-metric", (run.metric_name or "metric").capitalize(),
                f"On the test set, at the evaluations; the last is {last:.4f}.",
                lambda: curves.metric_figure(run),
            )
        )  # fmt: skip
    pictures += [
        _picture(
            f"{prefix}-speed", "Speed", "Steps that all ranks together finished per second.",
            lambda: curves.speed_figure(run),
        ),
        _picture(
            f"{prefix}-shares", "What the ranks did",
            "“Other” is evaluations, checkpoints and whatever else lies between steps.",
            lambda: ranks.share_bars(run),
        ),
        _picture(
            f"{prefix}-wait-map", "Waiting over time", "Bright: that rank mostly waited.",
            lambda: ranks.wait_map(run),
        ),
    ]  # fmt: skip
    if run.binned.waited_s[:, :-1].any():
        pictures.append(
            _picture(
                f"{prefix}-wait-matrix", "Who waited for whom",
                "In every wait, the rank that came last to where the others waited.",
                lambda: ranks.wait_matrix(run),
            )
        )  # fmt: skip
    return pictures + _staleness_pictures(run, prefix)


def _staleness_pictures(run: Outline, prefix: str) -> list[Picture]:
    largest = len(run.binned.staleness_counts()) - 1
    if run.binned.pieces[-1].mode == "bsp" and not largest:
        return []  # all ranks step together: staleness and lead are 0 by construction
    return [
        _picture(
            f"{prefix}-staleness", "Staleness",
            "Updates of other ranks between a gradient's read and its write, mean over the shards; "
            f"the largest is {number(largest)}.",
            lambda: ranks.staleness_histogram(run),
        ),
        _picture(
            f"{prefix}-staleness-map", "Staleness over time",
            "Bright: gradients lacked many updates of others. Empty: no step was finished.",
            lambda: ranks.staleness_map(run),
        ),
        _picture(
            f"{prefix}-lead", "Lead", _lead_caption(run), lambda: curves.lead_figure(run)
        ),
    ]  # fmt: skip


def has_curve(run: Outline) -> bool:
    """Tell whether the metric was found more than once."""
    return int(np.isfinite(curves.metric(run)).sum()) > 1


def _lead_caption(run: Outline) -> str:
    most = number(int(run.binned.sums["lead_max"].max()))
    if run.bound is None:
        return f"Steps ahead of the slowest rank, which nothing bounds; the largest is {most}."
    return f"Steps ahead of the slowest rank; the largest is {most}, the bound {run.bound}."


def _compared_pictures(runs: Sequence[Outline], labels: Sequence[str]) -> list[Picture]:
    pictures = [
        _picture("c-loss-time", "Loss over time", "", lambda: curves.loss_comparison(
            runs, labels, curves.by_time)),
        _picture("c-loss-steps", "Loss over steps", "", lambda: curves.loss_comparison(
            runs, labels, curves.by_steps)),
    ]  # fmt: skip
    names = {run.metric_name for run in runs}
    if len(names) == 1 and any(map(has_curve, runs)):
        metric = str(runs[0].metric_name).capitalize()
        pictures += [
            _picture("c-metric-time", f"{metric} over time", "", lambda: curves.metric_comparison(
                runs, labels, curves.by_time)),
            _picture("c-metric-steps", f"{metric} over steps", "", lambda: curves.metric_comparison(
                runs, labels, curves.by_steps)),
        ]  # fmt: skip
    return [
        *pictures,
        _picture("c-shares", "What the ranks did", "Mean over the ranks of each run.",
                 lambda: ranks.share_comparison(runs, labels)),
        _picture("c-staleness", "Staleness", "A line further right: staler gradients.",
                 lambda: ranks.staleness_comparison(runs, labels)),
    ]  # fmt: skip


def _picture(name: str, title: str, caption: str, draw: Callable[[], Figure]) -> Picture:
    return Picture(name, title, caption, inline_svg(draw(), name))


def sentences(run: Outline, said: dict[str, Any]) -> list[str]:
    """Return what there is to know first, in words."""
    found = [
        f"{number(run.overview['steps'])} steps of {counted(run.overview['ranks'], 'rank')} in "
        f"{duration(said['seconds'])}: {number(said['samples_per_s'])} samples/s."
    ]
    waited = f"{percent(said['shares']['wait'])} of the ranks' time was spent waiting"
    worst = waited_for_most(run)
    if worst is not None and worst[1] >= 0.05:
        waited += f", {percent(worst[1])} of that for rank {worst[0]}"
    found.append(f"{waited}.")
    if said["staleness_quantiles"]["1.0"]:
        largest, p99 = (said["staleness_quantiles"][q] for q in ("1.0", "0.99"))
        found.append(
            f"A gradient did not know of {said['staleness_mean']:.2f} updates of others on "
            f"average; 99% lacked at most {number(p99)}, the stalest {number(largest)}."
        )
    return found


def _state(run: Outline) -> str:
    state = run.overview["status"] or "nothing says how it stands"
    why = run.overview["reason"]
    return f"{state}: {why}" if why else str(state)


def _facts(run: Outline, said: dict[str, Any]) -> list[tuple[str, str]]:
    lives = f", {said['lives']} lives" if said["lives"] > 1 else ""
    facts = [
        ("mode", mode_of(run.overview)),
        ("ranks", f"{run.overview['ranks']} on {_hosts(run)}{lives}"),
        ("steps", number(run.overview["steps"])),
        ("time", duration(said["seconds"])),
        ("samples/s", number(said["samples_per_s"])),
        ("waiting", percent(said["shares"]["wait"])),
        ("mean staleness", _mean(run.overview["staleness"])),
        ("largest lead", number(said["lead_max"])),
    ]
    if isinstance(said["metric"], int | float):
        facts.insert(0, (str(said["metric_name"]), f"{said['metric']:.4f}"))
    if isinstance(said["loss"], int | float):
        facts.insert(1 if len(facts) > 8 else 0, ("test loss", f"{said['loss']:.4f}"))
    return facts


def _hosts(run: Outline) -> str:
    names = run.overview["hosts"]
    return next(iter(names)) if len(names) == 1 else f"{len(names)} hosts"


def _per_rank(run: Outline) -> Table:
    ranks = run.overview["per_rank"]
    rows = [
        [
            str(rank["rank"]),
            rank["host"] or "?",
            number(rank["steps"]),
            *(percent(rank["shares"][name]) for name in PHASES),
            _mean(rank["staleness"]),
            _mean(rank["lead"]),
            number(rank["lead"]["max"]),
        ]
        for rank in ranks[:MAX_RANK_ROWS]
    ]
    more = len(ranks) - MAX_RANK_ROWS
    if more > 0:
        rows.append([f"and {more} more", *[""] * (len(rows[0]) - 1)])
    heads = ["rank", "host", "steps", "waiting", "reading", "computing", "writing",
             "mean staleness", "mean lead", "largest lead"]  # fmt: skip
    return Table(heads, rows)


def _mean(facts: Mapping[str, Any]) -> str:
    return NONE if facts["mean"] is None else f"{facts['mean']:.2f}"


def _setting(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(_setting, value[:8])) + (" ..." if len(value) > 8 else "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _compared(runs: Sequence[Outline], reports: Sequence[Report], labels: Sequence[str]) -> Table:
    rows = []
    for run, report, label in zip(runs, reports, labels, strict=True):
        said = totals(run)
        loss, metric = said["loss"], said["metric"]
        rows.append(
            [
                label,
                mode_of(run.overview),
                str(run.overview["ranks"]),
                number(run.overview["steps"]),
                duration(said["seconds"]),
                number(said["samples_per_s"]),
                percent(said["shares"]["wait"]),
                _mean(run.overview["staleness"]),
                number(said["staleness_quantiles"]["1.0"]),
                number(said["lead_max"]),
                f"{loss:.4f}" if isinstance(loss, int | float) else NONE,
                f"{metric:.4f}" if isinstance(metric, int | float) else NONE,
                "ok" if report.ok else counted(report.num_faults, "fault"),
            ]
        )
    names = {run.metric_name or "metric" for run in runs}
    heads = ["run", "mode", "ranks", "steps", "time", "samples/s", "waiting", "mean staleness",
             "largest staleness", "largest lead", "test loss",
             names.pop() if len(names) == 1 else "metric", "verify"]  # fmt: skip
    return Table(heads, rows)
