"""``summary``, ``report``, ``compare``, ``staleness`` and ``stragglers`` say the same of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.analyse.registry import tool_of
from mpitrain.analyse.tool import main
from tests.unit.analysis.conftest import Run, simulate
from tests.unit.analysis.test_binned import fill_times

Said = Callable[..., Any]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return what a tool says with --json."""

    def ask(name: str, *words: str | Path, exit_code: int = 0) -> Any:
        assert main(tool_of(name), [*map(str, words), "--json"]) == exit_code
        return json.loads(capsys.readouterr().out)

    return ask


def late(run: Run, seed: int) -> None:
    """Give the steps of a run times and losses, and its first rank an earlier start."""
    fill_times(run, seed)
    for row in run.rows[0]:
        row["began_s"] -= 0.25


def two_lives(root: Path, *, is_closed: bool) -> Path:
    """Write a run that was killed beyond its checkpoint, and went on from there."""
    first = simulate(3, 2, "ssp", bound=3, steps=60)
    cut = first.state.point()
    first.go_on(20)
    second = first.next(cut)
    second.go_on(90)
    late(first, 0)
    late(second, 1)
    first.write(root, is_closed=lambda _: False)
    return second.write(root, is_closed=lambda _: is_closed)


@pytest.mark.parametrize("what", ["done", "killed", "a log is missing", "a log is cut off"])
def test_all_tools_say_the_same_numbers(tmp_path: Path, said: Said, what: str) -> None:
    """Counts, seconds, rates, shares of time, waiting, staleness, lead, and what is missing."""
    run = two_lives(tmp_path / "run", is_closed=what != "killed")
    log = run / "log" / "life-001" / "rank-00001.h5"
    if what == "a log is missing":
        log.unlink()
    if what == "a log is cut off":
        log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    lacking = {"exit_code": 2 if what.startswith("a log") else 0}
    summary = said("summary", run, **lacking)
    (page,) = said("report", run, "--out", tmp_path / "page.html", **lacking)["runs"]
    other = simulate(2, 1, "asp").write(tmp_path / "other")
    (compared,) = said("compare", run, other, **lacking)["groups"][0]["runs"]
    stale, late_s = said("staleness", run, **lacking), said("stragglers", run, **lacking)

    for name in ("steps", "seconds", "steps_per_s"):
        assert summary[name] == page[name] == compared[name], name
    assert (late_s["seconds"], late_s["steps_per_s"]) == (page["seconds"], page["steps_per_s"])
    assert summary["samples"] == page["samples"] == compared["samples"]
    assert summary["samples_per_s"] == page["samples_per_s"]
    assert summary["shares"] == page["shares"]
    assert summary["evaluations"] == page["evaluations"]
    measures = stale["measures"]
    for name in ("staleness", "lead", "own_missing"):
        assert {**summary[name], "counts": measures[name]["counts"]} == measures[name]
    assert page["staleness_mean"] == summary["staleness"]["mean"]
    quantiles = {"0.5": "p50", "0.9": "p90", "0.99": "p99", "1.0": "max"}
    for share, name in quantiles.items():
        assert page["staleness_quantiles"][share] == summary["staleness"][name]
    assert page["lead_max"] == summary["lead"]["max"]
    waited_s = np.column_stack([late_s["waited_for_s"], late_s["waited_for_nobody_s"]])
    assert waited_s.tolist() == page["waited_s"]
    by_rank = {rank["rank"]: rank["phases_s"]["wait"] for rank in summary["per_rank"]}
    assert {one["rank"]: one["wait_s"] for one in late_s["per_rank"]} == pytest.approx(by_rank)
    assert waited_s.sum(axis=1) == pytest.approx([by_rank[rank] for rank in sorted(by_rank)])

    pieces = [] if what in ("done", "killed") else [str(log)]
    for told in (summary["missing"], stale["missing"], page["notes"], late_s["notes"],
                 compared["notes"]):  # fmt: skip
        assert [line for line in told if str(log) in line] == summary["missing"]
        assert [line.partition(": ")[0] for line in summary["missing"]] == pieces
