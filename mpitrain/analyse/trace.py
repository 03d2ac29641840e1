"""All ranks side by side in time, as a trace for Perfetto."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpitrain.analyse.output import check_output, new_file, size_bytes
from mpitrain.analyse.tool import Answer, Tool, plain
from mpitrain.analysis.readable import Opened, open_readable
from mpitrain.analysis.spans import Window
from mpitrain.analysis.trace import Told, Write, write_trace
from mpitrain.core.console import counted, size_text
from mpitrain.core.errors import UserError

ENDINGS = (".json", ".json.gz")
GZIP_LEVEL = 1
MOST_ARROWS = 20_000
ROUNDING_S = 2e-6
"""Phases are logged as float32: those of some ten seconds are known to a microsecond."""

SAID = ("run_id", "mode", "bound", "size", "shards", "share", "scale", "mpi_library", "device")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Open the file at ui.perfetto.dev: it stays in your browser.\n"
        "A step's phases stand one after the other from its beginning; what passes between them\n"
        "is in no log and comes out at the step's end, before the next one.\n"
        "Evaluations end where the log notes them and begin at the end of the step before;\n"
        "checkpoints are written by a thread of their own and are noted a little after their\n"
        "end. A life follows the one before it without a pause.\n\n"
        "example:\n  trace runs/night --out night.json.gz --from 60 --to 90"
    )
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"ends in {' or '.join(ENDINGS)}",
    )
    parser.add_argument("--from", dest="from_s", type=float, metavar="S", help="first second")
    parser.add_argument("--to", dest="to_s", type=float, metavar="S", help="last second")
    parser.add_argument(
        "--steps", metavar="A:B", default=":", help="only clocks from A to before B, on every rank"
    )
    parser.add_argument(
        "--arrows",
        type=int,
        default=MOST_ARROWS,
        metavar="N",
        help="about so many arrows at most, from updates to the reads that first saw them: where "
        "there are more, every n-th update has all of its own; 0 for none (default: %(default)s)",
    )
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")


def _run(options: argparse.Namespace) -> Answer:
    check_output("--out", options.out, ENDINGS)
    window = _window(options)
    run = open_readable(options.rundir, options.log_root)
    with _text_file(options.out) as write:
        write(f'{{"displayTimeUnit":"ms","otherData":{json.dumps(_head(options, run))},\n')
        write('"traceEvents":[\n')
        told = write_trace(run, window, options.arrows, write)
        write("\n]}\n")
    facts = _facts(options.out, told, run)

    def show() -> None:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(facts, told)))

    return Answer(facts, show, missing=run.missing)


def _window(options: argparse.Namespace) -> Window:
    first, colon, stop = options.steps.partition(":")
    if not colon or any(word and not word.isdecimal() for word in (first, stop)):
        message = f"--steps must be A:B, two clocks, either may be left out; got {options.steps!r}"
        raise UserError(message)
    if options.arrows < 0:
        message = f"--arrows must be >= 0, got {options.arrows}"
        raise UserError(message)
    from_ns, to_ns = (
        None if seconds is None else round(seconds * 1e9)
        for seconds in (options.from_s, options.to_s)
    )
    if from_ns is not None and to_ns is not None and from_ns > to_ns:
        message = f"--from must be <= --to, got {options.from_s:g} and {options.to_s:g}"
        raise UserError(message)
    return Window(from_ns, to_ns, int(first or 0), int(stop) if stop else None)


@contextmanager
def _text_file(path: Path) -> Iterator[Write]:
    """Give what takes text, packed where the name says so."""
    with new_file(path) as file:
        if path.name.endswith(".gz"):
            with (
                gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed,
                io.BufferedWriter(packed, 1 << 20) as buffered,
            ):
                yield lambda text: _put(buffered, text)
        else:
            yield lambda text: _put(file, text)


def _put(file: Any, text: str) -> None:
    file.write(text.encode())


def _head(options: argparse.Namespace, run: Opened) -> dict[str, Any]:
    """Return what the trace says of the run."""
    newest = run.newest
    said = {name: newest.attributes[name] for name in SAID if name in newest.attributes}
    errors = {
        f"rank {rank}": log.attributes.get("clock_error_s")
        for rank, log in run.newest.ranks.items()
    }
    head: dict[str, Any] = plain({"run": options.rundir.name, **said, "clock_error_s": errors})
    return head


def _facts(path: Path, told: Told, run: Opened) -> dict[str, Any]:
    agree = None if told.late_s is None else told.late_s <= ROUNDING_S
    return {
        "file": str(path), "size_bytes": size_bytes(path), "steps": told.steps,
        "ranks": len({segment.rank for segment in run.segments()}),
        "from_s": (told.first_ns or 0) / 1e9, "to_s": told.last_ns / 1e9,
        "lives_s": told.lives_s, "arrows": told.arrows, "nth_update": told.nth_update,
        "clocks": {"stated_error_s": told.error_s, "late_s": told.late_s, "agree": agree},
        "notes": run.notes,
    }  # fmt: skip


def _lines(facts: dict[str, Any], told: Told) -> Iterator[str]:
    for note in facts["notes"]:
        yield f"note: {note}"
    size = "" if facts["size_bytes"] is None else f", {size_text(facts['size_bytes'])}"
    yield (
        f"{facts['file']}: {counted(told.steps, 'step')} of {counted(facts['ranks'], 'rank')}, "
        f"{facts['from_s']:.3f} s to {facts['to_s']:.3f} s, {counted(told.arrows, 'arrow')}{size}"
    )
    if told.nth_update > 1:
        yield f"arrows: of one update in {told.nth_update}; --arrows and --from --to show more"
    if told.late_s is not None and not facts["clocks"]["agree"]:
        yield (
            f"clocks: a read seems to come {told.late_s * 1e6:.1f} us before what it saw was "
            f"written, beyond the error of {told.error_s * 1e6:.1f} us that the logs state"
        )
    elif told.late_s is not None:
        yield f"clocks: they agree within the {told.error_s * 1e6:.1f} us that the logs state"
    yield "open it at ui.perfetto.dev: it stays in your browser"


TOOL = Tool(
    "trace",
    "Write a trace of all ranks for Perfetto: what each waited for, read, computed and wrote, "
    "with its lead and staleness, and arrows from updates to those who saw them first.",
    _add_arguments,
    _run,
)
