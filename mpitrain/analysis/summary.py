"""A run in a dozen lines for people: ``python -m mpitrain.analysis.summary RUNDIR``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpitrain.analysis.distribution import distribution_of
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.verify import verify
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import LifeLog

MAX_BARS = 12
BAR_COLUMNS = 40


def summary_lines(directory: Path) -> list[str]:
    """Return the summary of a run: result, staleness histogram, where the log is, its checks.

    Raises:
        LogError: there is no log, or the result cannot be read.
    """
    run = open_readable(directory)
    report = verify(directory)
    counts = distribution_of(run).whole("staleness").items()
    return [
        _heading(run.log.directory.read_result() or {}, run.newest, directory, report.lives),
        "staleness (updates of other ranks that a gradient did not know of), per update and shard:",
        *histogram_lines(dict(counts)),
        f"staleness log: {run.log.directory.life_directory(run.newest.life)}",
        f"verify: {report.summary()}",
        *(f"  {finding}" for finding in report.findings[:3]),
    ]


def histogram_lines(counts: Mapping[int, int]) -> list[str]:
    """Return a text histogram of value -> count, at most 12 bars of equal width in value."""
    if not counts:
        return ["  (no rows)"]
    width = -(-(max(counts) + 1) // MAX_BARS)
    bars = [0] * (max(counts) // width + 1)
    for value, count in counts.items():
        bars[value // width] += count
    total, tallest = sum(bars), max(bars)
    return [
        f"  {_range(index * width, width):>9} "
        f"{'#' * -(-bar * BAR_COLUMNS // tallest):<{BAR_COLUMNS}} {bar / total:6.1%}"
        for index, bar in enumerate(bars)
    ]


def _heading(result: Mapping[str, Any], life: LifeLog, directory: Path, num_lives: int) -> str:
    mode = life.attributes.get("mode")
    mode = mode if isinstance(mode, str) else "?"
    bound = f" bound {life.attributes.get('bound')}" if mode == "ssp" else ""
    parts = [f"{result.get('run', directory.name)}: {mode}{bound}"]
    parts.append(f"{life.size} ranks")
    if num_lives > 1:
        parts.append(f"{num_lives} lives")
    if not result:
        parts.append("no result yet")
    if isinstance(result.get("metric"), int | float):
        parts.append(f"{result.get('metric_name')} {result['metric']:.4f}")
    samples, seconds = result.get("samples"), result.get("seconds")
    if isinstance(samples, int | float) and isinstance(seconds, int | float) and seconds:
        parts.append(f"{samples / seconds:.0f} samples/s")
    return ", ".join(parts)


def _range(start: int, width: int) -> str:
    return str(start) if width == 1 else f"{start}-{start + width - 1}"


def main(arguments: list[str]) -> int:
    """Write the summary of the run directory that the command line names."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m mpitrain.analysis.summary RUNDIR\n")
        return 2
    try:
        lines = summary_lines(Path(arguments[0]))
    except LogError as error:
        sys.stderr.write(f"mpitrain: error: {error}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
