"""The timeline of a run, against sums over all rows of all ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.analysis.binned import Binned, binned_of, quantile_of, seconds_in_bins
from mpitrain.analysis.outline import outline_of, totals
from mpitrain.analysis.readable import open_readable
from mpitrain.core.errors import LogError

PHASES = ("wait_s", "read_s", "compute_s", "write_s")


def fill_times(run: Any, seed: int = 0) -> None:
    """Give every step of a run phases that fit between it and the next of its rank."""
    random = np.random.default_rng(seed)
    for rows in run.rows:
        time_s = 1.0
        for row in rows:
            row["began_s"] = time_s
            for name in PHASES:
                row[name] = float(np.float32(random.exponential(0.01)))
                time_s += row[name]
            row["loss"] = float(np.float32(random.normal()))
            time_s += random.exponential(0.005)


def binned_at(root: Path, num_bins: int | None = None) -> Binned:
    """Return the binned of the run that was written there."""
    return binned_of(open_readable(root), num_bins)


@pytest.mark.parametrize("mode", ["bsp", "ssp", "asp"])
@pytest.mark.parametrize("num_bins", [1, 7, 300])
def test_sums_over_bins_are_those_over_rows(
    make_run: Callable[..., Any], tmp_path: Path, mode: str, num_bins: int
) -> None:
    """Of steps, samples, loss, staleness, lead and every phase, for each rank."""
    run = make_run(3, 2, mode, bound=2 if mode == "ssp" else None, steps=60)
    fill_times(run)
    binned = binned_at(run.write(tmp_path), num_bins)
    assert binned.ranks == [0, 1, 2]
    for rank, rows in enumerate(run.rows):
        assert binned.total("steps")[rank] == len(rows)
        assert binned.total("samples")[rank] == sum(row["num_samples"] for row in rows)
        weighted = sum(row["loss"] * row["num_samples"] for row in rows)
        assert binned.total("loss")[rank] == pytest.approx(weighted)
        assert binned.total("lead")[rank] == sum(row["lead"] for row in rows)
        assert binned.sums["lead_max"][rank].max() == max(row["lead"] for row in rows)
        stale = sum(row["staleness_mean"] for row in rows)
        assert binned.total("staleness")[rank] == pytest.approx(stale)
        rounded = [np.rint(np.float32(row["staleness_mean"])) for row in rows]
        assert binned.counts[rank].tolist() == np.bincount(np.array(rounded, int)).tolist()
        for name in PHASES:
            assert binned.total(name)[rank] == pytest.approx(sum(row[name] for row in rows))
    assert binned.steps_done()[-1] == sum(map(len, run.rows))


def test_a_step_counts_where_it_ended(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """In bins that are finer than the steps."""
    run = make_run(2, 1, "asp", steps=20)
    fill_times(run)
    binned = binned_at(run.write(tmp_path), 1000)
    for rank, rows in enumerate(run.rows):
        ends = [row["began_s"] + sum(row[name] for name in PHASES) - 1.0 for row in rows]
        wanted = np.histogram(ends, binned.edges_s)[0]
        assert np.abs(np.cumsum(binned.sums["steps"][rank]) - np.cumsum(wanted)).max() <= 1


def test_seconds_in_bins_splits_spans_at_edges() -> None:
    """Against an integral over many small pieces."""
    random = np.random.default_rng(3)
    spans = random.exponential(0.3, 40)
    gaps = random.exponential(0.2, 40)
    began = np.cumsum(np.concatenate([[0.1], (spans + gaps)[:-1]]))
    edges = np.linspace(0.0, began[-1] + spans[-1], 12)
    fine = np.linspace(0.0, edges[-1], 200_001)
    middles = (fine[1:] + fine[:-1]) / 2
    place = np.searchsorted(began, middles, "right") - 1
    inside = (place >= 0) & (middles < began[place] + spans[place])
    wanted = np.histogram(middles[inside], edges)[0] * (fine[1] - fine[0])
    np.testing.assert_allclose(seconds_in_bins(edges, began, spans), wanted, atol=1e-3)


@pytest.mark.parametrize(("mode", "bound"), [("bsp", None), ("ssp", 0), ("ssp", 2), ("asp", None)])
def test_the_last_rank_is_the_one_that_was_waited_for(
    make_run: Callable[..., Any], tmp_path: Path, mode: str, bound: int | None
) -> None:
    """Against a search through all ranks for every single step."""
    run = make_run(3, 2, mode, bound=bound, steps=90)
    fill_times(run)
    waited = np.zeros((3, 4))
    for rank, rows in enumerate(run.rows):
        for row in rows:
            whom, late_s = late(run.rows, rank, row, mode, bound)
            waited[rank, whom] += late_s
            waited[rank, 3] += row["wait_s"] - late_s
    binned = binned_at(run.write(tmp_path))
    np.testing.assert_allclose(binned.waited_s, waited, rtol=1e-6, atol=1e-9)
    assert (binned.waited_s[:, :3].sum() > 0) == (mode != "asp")


def late(
    all_rows: list[list[dict[str, Any]]],
    rank: int,
    row: dict[str, Any],
    mode: str,
    bound: int | None,
) -> tuple[int, float]:
    """Return for whom a step waited and how long; 3 stands for nobody."""
    if mode != "bsp" and bound is None:
        return 3, 0.0
    clock = row["clock"] if mode == "bsp" else row["clock"] - (bound or 0) - 1
    before = ("read_s", "compute_s") if mode == "bsp" else PHASES
    there = {other: rows[clock] for other, rows in enumerate(all_rows) if 0 <= clock < len(rows)}
    came = {
        other: float(step["began_s"] + sum(step[name] for name in before))
        for other, step in there.items()
    }
    whom = max(came, key=lambda other: came[other]) if came else rank
    if whom == rank or (mode == "ssp" and came[whom] <= row["began_s"]):
        return 3, 0.0
    least_s = min(step["wait_s"] for step in there.values()) if mode == "bsp" else 0.0
    return whom, row["wait_s"] - least_s


def test_lives_follow_each_other_without_the_pause(
    make_run: Callable[..., Any], tmp_path: Path
) -> None:
    """Rows after the cut are not there; the second life begins where the first was left."""
    first = make_run(2, 1, "ssp", bound=3, steps=40)
    cut = first.state.point()
    first.go_on(20)
    second = first.next(cut)
    second.go_on(30)
    fill_times(first)
    fill_times(second, 1)
    first.write(tmp_path, is_closed=lambda _: False)
    second.write(tmp_path)
    binned = binned_at(tmp_path)
    assert binned.total("steps").sum() == 40 + 30
    ends = [
        max(rows[clock - 1]["began_s"] + sum(rows[clock - 1][n] for n in PHASES) - 1.0
            for rows, clock in zip(first.rows, cut.clocks, strict=True)),
        max(rows[-1]["began_s"] + sum(rows[-1][n] for n in PHASES) - 1.0
            for rows in second.rows),
    ]  # fmt: skip
    assert binned.edges_s[-1] == pytest.approx(sum(ends))
    starts = [piece.start_s for piece in binned.pieces]
    assert starts == pytest.approx([0.0, ends[0]])
    run = outline_of(tmp_path)
    assert (run.num_lives, totals(run)["lives"], run.mode) == (2, 2, "ssp")


def test_rows_that_no_step_can_have_are_left_out_and_told(
    make_run: Callable[..., Any], tmp_path: Path
) -> None:
    """Times that are no numbers, clocks of no step, staleness beyond all bounds."""
    run = make_run(2, 1, "ssp", bound=1, steps=40)
    fill_times(run)
    run.rows[0][3]["began_s"] = float("nan")
    run.rows[0][5]["wait_s"] = -1.0
    run.rows[1][4]["clock"] = 2**61
    run.rows[1][5]["clock"] = -(2**61)
    run.rows[1][6]["staleness_mean"] = float("inf")
    run.rows[1][7]["loss"] = float("nan")
    binned = binned_at(run.write(tmp_path))
    assert len(binned.notes) == 2
    assert all("2 rows have no valid times or clock" in note for note in binned.notes)
    assert binned.total("steps").tolist() == [len(rows) - 2 for rows in run.rows]
    assert np.isfinite(binned.waited_s).all()
    assert np.isfinite(binned.total("loss")).all()


def test_many_ranks_are_counted_together(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """Their staleness is one table, so that it stays small."""
    run = make_run(90, 1, "bsp", steps=180)
    fill_times(run)
    binned = binned_at(run.write(tmp_path))
    assert len(binned.counts) == 1
    assert binned.staleness_counts().sum() == binned.total("steps").sum() == 180


def test_a_run_without_a_step_is_refused(make_run: Callable[..., Any], tmp_path: Path) -> None:
    """There is nothing to show of it."""
    run = make_run(2, 1, "ssp", bound=1, steps=4)
    run.rows = [[], []]
    with pytest.raises(LogError, match="no step is logged yet"):
        outline_of(run.write(tmp_path))


def test_quantiles_are_the_least_value_that_reaches_the_share() -> None:
    """Of 0, 0, 1, 3: half lies at 0, three quarters at 1, all at 3."""
    counts = np.array([2, 1, 0, 1])
    assert [quantile_of(counts, share) for share in (0.5, 0.75, 0.76, 1.0)] == [0, 1, 3, 3]
