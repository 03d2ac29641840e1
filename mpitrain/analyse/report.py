"""What happened in a run, on one page: ``report RUNDIR... --out report.html``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpitrain.analyse.output import check_library, check_output, new_file
from mpitrain.analyse.tool import Answer, Tool
from mpitrain.analysis.outline import Outline, outline_of, totals
from mpitrain.analysis.report import Report
from mpitrain.analysis.verify import verify
from mpitrain.core.console import size_text
from mpitrain.core.errors import UserError

MAX_WHOLE = 8  # runs that have their own figures beside those of the comparison
EXAMPLE = "example: report runs/bsp runs/ssp runs/asp --out modes.html"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    parser.add_argument("rundirs", type=Path, metavar="RUNDIR", nargs="+")
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="the page (default: %(default)s)"
    )
    parser.add_argument("--title", help="of the page; default: the runs")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")


def _run(options: argparse.Namespace) -> Answer:
    if options.log_root is not None and len(options.rundirs) > 1:
        message = "--log-root is the folder of one run's logs; give one RUNDIR with it"
        raise UserError(message)
    check_output("--out", options.out)
    for library in ("matplotlib", "jinja2"):
        check_library(library, "report")
    runs = [outline_of(root, options.log_root) for root in options.rundirs]
    reports = [verify(root, log_root=options.log_root) for root in options.rundirs]
    text = page_text(runs, reports, options.title)
    with new_file(options.out) as file:
        file.write(text.encode())
    size = len(text.encode())
    facts = {
        "out": str(options.out.absolute()),
        "size_bytes": size,
        "runs": [facts_of(run, report) for run, report in zip(runs, reports, strict=True)],
    }

    def show() -> None:
        sys.stdout.write(f"{options.out}: {size_text(size)}, open it in a browser\n")
        for run, report in zip(runs, reports, strict=True):
            sys.stdout.write(f"  {run.root}: verify {report.summary()}\n")

    return Answer(facts, show, missing=[what for run in runs for what in run.missing])


def page_text(runs: Sequence[Outline], reports: Sequence[Report], title: str | None = None) -> str:
    """Return the page about some runs."""
    import matplotlib as mpl

    from mpitrain.analyse.page.content import comparison_of, labels_of, section_of
    from mpitrain.analyse.page.page import page_of
    from mpitrain.analyse.page.style import RC

    labels = labels_of([run.root for run in runs])
    with mpl.rc_context(RC):
        numbered = enumerate(zip(runs, reports, labels, strict=True))
        is_whole = len(runs) <= MAX_WHOLE
        sections = [section_of(*one, index, has_pictures=is_whole) for index, one in numbered]
        together = comparison_of(runs, reports, labels) if len(runs) > 1 else None
    return page_of(title or _title(runs, labels), sections, together)


def facts_of(run: Outline, report: Report) -> dict[str, Any]:
    """Return what the page says of a run, for programs."""
    binned, said = run.binned, run.overview
    seconds = {rank["rank"]: rank["seconds"] for rank in said["per_rank"]}
    return {
        **said,
        **totals(run),
        "rank_numbers": binned.ranks,
        "per_rank": {name: binned.total(name) for name in binned.sums if name != "lead_max"},
        "elapsed_s": [seconds[rank] for rank in binned.ranks],
        "waited_s": binned.waited_s,
        "staleness_counts": binned.staleness_counts(),
        "notes": run.notes,
        "verify": report.to_json(),
    }


def _title(runs: Sequence[Outline], labels: Sequence[str]) -> str:
    if len(runs) > 1:
        return f"{len(runs)} runs: {', '.join(labels)}" if len(runs) <= 4 else f"{len(runs)} runs"
    name = runs[0].config.get("run", {}).get("name")
    return name if isinstance(name, str) and name else labels[0]


TOOL = Tool(
    "report",
    "Write one HTML page about a run, finished, running or killed: curves, staleness, waiting, "
    "events, configuration, verification; about several runs, a comparison. It needs no network.",
    _add_arguments,
    _run,
)
