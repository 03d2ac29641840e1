"""The summary of a run for people, and the histogram of staleness."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpitrain.analysis.distribution import distribution_of
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.summary import histogram_lines, main, summary_lines
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]


def histogram_of(root: Path) -> dict[int, int]:
    """Return how many updates on shards had which staleness."""
    return dict(distribution_of(open_readable(root)).whole("staleness").items())


def test_histogram_counts_each_update_on_each_shard(make_run: MakeRun, tmp_path: Path) -> None:
    """The counts are those of the versions, over all ranks; every update is in it once a shard."""
    run = make_run(4, 3, "asp")
    histogram = histogram_of(run.write(tmp_path))
    assert sum(histogram.values()) == 60 * 3
    assert max(histogram) == max(row["staleness_max"] for own in run.rows for row in own)
    mean = sum(tau * count for tau, count in histogram.items()) / 180
    means = [row["version_written"] - row["version_read"] - 1 for own in run.rows for row in own]
    assert mean == sum(values.sum() for values in means) / 180  # no own update is ever missed


def test_histogram_uses_the_column_when_there_are_no_versions(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Without versions updates are counted once, by their largest staleness."""
    run = make_run(4, 3, "asp")
    run.per_shard = False
    assert histogram_of(run.write(tmp_path)) == dict(
        sorted(Counter(row["staleness_max"] for own in run.rows for row in own).items())
    )


def test_histogram_leaves_out_what_no_run_can_do(make_run: MakeRun, tmp_path: Path) -> None:
    """A faulty log, read from the future, still has a summary, which says that it is faulty."""
    run = make_run(2, 1, "asp")
    row = run.rows[0][3]
    row["version_read"] = row["version_written"] + 5
    root = run.write(tmp_path)
    assert sum(histogram_of(root).values()) == 59
    assert "faults in 60 rows" in "\n".join(summary_lines(root))


def test_histogram_has_few_bars_and_the_shares_add_up() -> None:
    """Large values share bars; the tallest bar is as long as a bar may be."""
    lines = histogram_lines({0: 50, 7: 25, 30: 25})
    assert len(lines) == 11
    assert lines[0] == f"        0-2 {'#' * 40}  50.0%"
    assert lines[2] == f"        6-8 {'#' * 20:40}  25.0%"
    assert lines[1] == f"        3-5 {'':40}   0.0%"
    assert histogram_lines({}) == ["  (no rows)"]


def test_summary_says_result_staleness_place_and_checks(make_run: MakeRun, tmp_path: Path) -> None:
    """What a person wants to know after a run, with and without a result."""
    root = make_run(3, 2, "ssp", bound=2).write(tmp_path / "digits")
    assert summary_lines(root)[0] == "digits: ssp bound 2, 3 ranks, no result yet"
    result = {"run": "d", "metric_name": "accuracy", "metric": 0.5, "seconds": 2.0, "samples": 99}
    RunDirectory(root).write_result(result)
    lines = summary_lines(root)
    assert lines[0] == "d: ssp bound 2, 3 ranks, accuracy 0.5000, 50 samples/s"
    assert f"staleness log: {root}/log/life-000" in lines
    assert lines[-1] == "verify: ok: 60 rows, 3 ranks, 60 updates on each of 2 shards"


def test_summary_runs_as_a_command(make_run: MakeRun, tmp_path: Path) -> None:
    """``python -m mpitrain.analysis.summary`` prints it and loads no MPI."""
    root = make_run(2, 1, "bsp", share="equal").write(tmp_path)
    code = (
        "import sys; from mpitrain.analysis.summary import main; main(sys.argv[1:]);"
        "assert not [name for name in sys.modules if name.startswith('mpi4py')]"
    )
    command = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "bsp, 2 ranks, no result yet" in done.stdout


def test_summary_of_no_run_is_one_line(tmp_path: Path, capsys: Any) -> None:
    """A user mistake is one line and exit code 2."""
    assert main([str(tmp_path)]) == 2
    assert main([]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2
    assert error[0].startswith(f"mpitrain: error: {tmp_path} holds no staleness log")
