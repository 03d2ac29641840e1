"""``trace``: what it writes is a trace, and it is the log's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.analyse.tool import main
from mpitrain.analyse.trace import ROUNDING_S, TOOL
from mpitrain.storage.reading import open_log
from tests.tools.conftest import STEPS
from tests.tools.trace_checker import check_trace, end_of, read_trace
from tests.unit.analysis.conftest import Run, simulate

Event = dict[str, Any]


def traced(run: Path, out: Path, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trace and the tool's facts."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", said.append)
        assert main(TOOL, [str(run), "--out", str(out), *words, "--json"]) == 0
    return read_trace(out), json.loads(said[0])


def timed(run: Run) -> Run:
    """Give the rows of a simulated run phases, in which reads come before writes are made."""
    for rows in run.rows:
        for row in rows:
            row |= {"wait_s": 0.01, "read_s": 0.02, "compute_s": 0.03, "write_s": 0.04}
    return run


def slices(trace: dict[str, Any], name: str) -> list[Event]:
    """Return the slices of a name."""
    return [one for one in trace["traceEvents"] if one["ph"] == "X" and one["name"] == name]


def test_a_real_run_is_a_trace(ssp_run: Path, tmp_path: Path) -> None:
    """It parses, slices nest, times rise, every step is there, and the clocks agree."""
    trace, facts = traced(ssp_run, tmp_path / "trace.json.gz")
    assert check_trace(trace) == []
    steps = slices(trace, "step")
    assert len(steps) == STEPS == facts["steps"]
    kinds = Counter(one["name"] for one in trace["traceEvents"] if one["ph"] == "X")
    assert kinds["compute"] == kinds["write"] == STEPS
    assert kinds["evaluation"] >= 4
    assert sum(number for name, number in kinds.items() if name.startswith("checkpoint")) >= 3
    assert {one["pid"] for one in steps} == {1, 2, 3, 4}
    assert facts["arrows"] > STEPS
    clocks = facts["clocks"]
    assert (clocks["agree"], clocks["stated_error_s"]) == (True, 0.0)
    assert clocks["late_s"] <= ROUNDING_S


def test_slices_are_the_rows(ssp_run: Path, tmp_path: Path) -> None:
    """Each phase begins and ends when its row says, to a microsecond."""
    trace, _ = traced(ssp_run, tmp_path / "trace.json")
    steps = {(one["pid"] - 1, one["args"]["clock"]): one for one in slices(trace, "step")}
    for rank, log in open_log(ssp_run).lives[0].ranks.items():
        columns = log.steps
        for row, clock in enumerate(columns["clock"].tolist()):
            one = steps[rank, clock]
            names = ("wait_s", "read_s", "compute_s", "write_s")
            spent_s = sum(float(columns[name][row]) for name in names)
            assert float(one["ts"]) == pytest.approx(columns["began_s"][row] * 1e6, abs=1)
            assert float(one["dur"]) == pytest.approx(spent_s * 1e6, abs=1)
            assert one["args"]["lead"] == columns["lead"][row]


def test_arrows_go_to_the_first_read_that_saw_it(tmp_path: Path) -> None:
    """By each other rank, for every update, judged by versions, row by row."""
    made = timed(simulate(3, 2, "ssp", bound=3, steps=40))
    trace, facts = traced(made.write(tmp_path / "run"), tmp_path / "trace.json")
    assert facts["nth_update"] == 1
    by_place = {(one["pid"] - 1, one["ts"]): one for one in slices(trace, "write")}
    by_end = {(one["pid"] - 1, end_of(one)): one for one in slices(trace, "read")}
    writes = {
        (rank, round(row["began_s"] * 1e6 + 6e4)): int(row["version_written"][0])
        for rank, rows in enumerate(made.rows)
        for row in rows
    }
    assert {(rank, round(ts)) for rank, ts in by_place} == set(writes)
    assert len(by_end) == 40
    found, ends = set(), {}
    for one in trace["traceEvents"]:
        if one["ph"] == "s":
            ends[one["id"]] = writes[one["pid"] - 1, int(one["ts"])]
    for one in trace["traceEvents"]:
        if one["ph"] == "f":
            found.add((ends[one["id"]], one["pid"] - 1, round(float(one["ts"]))))
    wanted = set()
    for rank, rows in enumerate(made.rows):
        for other, others in enumerate(made.rows):
            for update in others if other != rank else ():
                version = int(update["version_written"][0])
                first = next((r for r in rows if r["version_read"][0] >= version), None)
                if first is None or update["began_s"] + 0.06 >= first["began_s"] + 0.03:
                    continue  # never seen; the simulation's time is not that of its acts
                wanted.add((version, rank, round(first["began_s"] * 1e6 + 3e4)))
    assert found == wanted
    assert len(wanted) > 20


def test_arrows_are_thinned_by_whole_updates(ssp_run: Path, tmp_path: Path) -> None:
    """Every n-th update keeps all of its arrows; none are drawn for 0."""
    trace, facts = traced(ssp_run, tmp_path / "trace.json", "--arrows", "60")
    assert facts["nth_update"] == STEPS * 3 // 60
    assert 40 <= facts["arrows"] <= 60
    assert check_trace(trace) == []
    trace, facts = traced(ssp_run, tmp_path / "trace.json", "--arrows", "0")
    assert facts["arrows"] == 0
    assert not [one for one in trace["traceEvents"] if one["ph"] in "sf"]


def test_clocks_that_disagree_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rank whose clock is ahead by more than its log states: others read what it has not written.

    The same difference is allowed where the log states such an error.
    """
    for stated_s, is_fine in ((0.0, False), (10.0, True)):
        made = timed(simulate(2, 2, "asp", steps=60))
        for row in made.rows[1]:
            row["began_s"] += 9.0
        made.attributes[1] = {"clock_error_s": stated_s}
        run = made.write(tmp_path / f"run-{is_fine}")
        _, facts = traced(run, tmp_path / "trace.json")
        assert facts["clocks"]["agree"] is is_fine
        assert facts["clocks"]["stated_error_s"] == stated_s
        main(TOOL, [str(run), "--out", str(tmp_path / "trace.json")])
        assert ("seems to come" in capsys.readouterr().out) is not is_fine


def test_a_cut_has_what_lies_in_it(ssp_run: Path, tmp_path: Path) -> None:
    """By time every step that overlaps it, by steps those clocks."""
    whole, _ = traced(ssp_run, tmp_path / "trace.json")
    begin = sorted(float(one["ts"]) for one in slices(whole, "step"))
    from_s, to_s = begin[100] / 1e6, begin[200] / 1e6
    part, facts = traced(
        ssp_run, tmp_path / "trace.json", "--from", f"{from_s:.6f}", "--to", f"{to_s:.6f}"
    )
    assert check_trace(part) == []
    kept = [
        one for one in slices(whole, "step")
        if end_of(one) >= from_s * 1e6 - 1 and float(one["ts"]) <= to_s * 1e6 + 1
    ]  # fmt: skip
    assert abs(len(slices(part, "step")) - len(kept)) <= 4
    assert facts["steps"] == len(slices(part, "step"))
    part, _ = traced(ssp_run, tmp_path / "trace.json", "--steps", "5:8")
    assert check_trace(part) == []
    assert (
        sorted(one["args"]["clock"] for one in slices(part, "step")) == [5] * 4 + [6] * 4 + [7] * 4
    )


def test_lives_follow_each_other(tmp_path: Path) -> None:
    """Rows that were rolled back are not told; the second life begins at the end of the first."""
    made = timed(simulate(3, 2, "ssp", bound=2, steps=30))
    cut = made.state.point()
    made.go_on(12, seed=5)
    timed(made).write(tmp_path)
    after = made.next(cut)
    after.go_on(20, seed=7)
    timed(after).write(tmp_path)
    trace, facts = traced(tmp_path, tmp_path / "trace.json")
    assert check_trace(trace) == []
    assert facts["steps"] == 50
    assert facts["lives_s"]["0"] == 0
    assert facts["lives_s"]["1"] > 0


def test_bsp_has_steps_and_no_arrows(tmp_path: Path) -> None:
    """Every rank writes the same versions there."""
    run = timed(simulate(3, 2, "bsp", share="equal", steps=30)).write(tmp_path / "run")
    trace, facts = traced(run, tmp_path / "trace.json")
    assert check_trace(trace) == []
    assert (facts["steps"], facts["arrows"]) == (30, 0)


def test_odd_numbers_are_null(tmp_path: Path) -> None:
    """A loss that is not finite is no JSON."""
    made = timed(simulate(1, 1, "asp", steps=3))
    for row, value in zip(made.rows[0], (np.nan, np.inf, 0.5), strict=True):
        row["loss"] = value
    trace, _ = traced(made.write(tmp_path / "run"), tmp_path / "trace.json")
    losses = [one["args"]["loss"] for one in slices(trace, "step")]
    assert losses[:2] == [None, None]
    assert float(losses[2]) == 0.5


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--out", "x.txt"], "--out must end in .json or .json.gz, got x.txt"),
        (["--out", "x.json", "--steps", "5"], "--steps must be A:B, two clocks"),
        (["--out", "x.json", "--from", "5", "--to", "4"], "--from must be <= --to, got 5 and 4"),
        (["--out", "x.json", "--arrows", "-1"], "--arrows must be >= 0, got -1"),
        (["--out", "FULL"], "no space left on device"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    run = simulate(2, 2, "asp", steps=4).write(tmp_path / "run")
    full = tmp_path / "full.json.gz"
    full.symlink_to("/dev/full")
    assert main(TOOL, [str(run), *(word.replace("FULL", str(full)) for word in words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert wanted in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("reaches out", {"dur": 10**9}),
        ("before", {"ts": 0}),
        ("negative", {"dur": -1}),
        ("unknown kind", {"ph": "Q"}),
        ("has no name", {"tid": 7}),
    ],
)
def test_the_checker_finds_faults(name: str, change: Event, ssp_run: Path, tmp_path: Path) -> None:
    """One slice in the middle is changed."""
    trace, _ = traced(ssp_run, tmp_path / "trace.json")
    slices(trace, "read")[50].update(change)
    assert any(name in fault for fault in check_trace(trace))
