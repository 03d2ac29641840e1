"""Distributions and the page of a run, counted by hand from the rows they were made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.analysis.distribution import NUM_PARTS, distribution_of
from mpitrain.analysis.histogram import DENSE, Histogram
from mpitrain.analysis.overview import overview_of
from mpitrain.analysis.readable import open_readable
from mpitrain.core.errors import LogError
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]


def others(row: dict[str, Any]) -> list[int]:
    """Return the staleness of a row on each shard; no own update is missing in these runs."""
    return (row["version_written"] - row["version_read"] - 1).tolist()


def test_a_histogram_is_that_of_the_sorted_numbers() -> None:
    """Mean, quantiles and largest; large numbers count exactly, negative ones do not count."""
    random = np.random.default_rng(0)
    values = np.concatenate([random.geometric(0.1, 5000) - 1, [DENSE, 10**12, 10**12, -3]])
    histogram = Histogram()
    for piece in np.array_split(values, 7):
        histogram.add(piece)
    kept = np.sort(values[values >= 0])
    facts = histogram.facts()
    assert dict(histogram.items()) == dict(sorted(Counter(kept.tolist()).items()))
    assert (facts["count"], facts["max"]) == (len(kept), 10**12)
    assert facts["mean"] == pytest.approx(kept.mean())
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        assert facts[name] == kept[int(np.ceil(q * len(kept))) - 1]
    assert Histogram().facts()["max"] is None


def test_distributions_are_those_of_the_rows(make_run: MakeRun, tmp_path: Path) -> None:
    """By rank, by shard, over time and in the tail; every update is counted once in each."""
    run = make_run(4, 3, "ssp", bound=3, steps=200)
    facts = distribution_of(open_readable(run.write(tmp_path))).facts()
    whole = Counter(tau for own in run.rows for row in own for tau in others(row))
    assert dict(facts["measures"]["staleness"]["counts"]) == dict(whole)
    leads = Counter(row["lead"] for own in run.rows for row in own)
    assert dict(facts["measures"]["lead"]["counts"]) == dict(leads)
    for rank, own in enumerate(run.rows):
        mean = np.mean([others(row) for row in own])
        assert facts["per_rank"][rank]["staleness"]["mean"] == pytest.approx(mean)
    for shard in range(3):
        largest = max(others(row)[shard] for own in run.rows for row in own)
        assert facts["per_shard"][shard]["staleness"]["max"] == largest
    parts = facts["over_time"]
    assert len(parts) == NUM_PARTS
    assert sum(part["lead"]["count"] for part in parts) == 200
    assert sum(part["staleness"]["count"] for part in parts) == 600
    begins = np.array([row["began_s"] for own in run.rows for row in own])
    offset, half = begins.min(), parts[NUM_PARTS // 2]["start_s"]
    early = sum(part["lead"]["count"] for part in parts[: NUM_PARTS // 2])
    assert early == (begins - offset < half).sum()
    stalest = sorted((max(others(row)) for own in run.rows for row in own), reverse=True)[:10]
    assert [tail["staleness"] for tail in facts["tail"]] == stalest
    for tail in facts["tail"]:
        row = run.rows[tail["rank"]][tail["row"]]
        assert max(others(row)) == tail["staleness"]
        assert row["began_s"] - offset == tail["time_s"]


def test_without_versions_the_column_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    """Each update once, by its largest staleness; there is nothing to say of shards."""
    run = make_run(3, 2, "asp")
    run.per_shard = False
    facts = distribution_of(open_readable(run.write(tmp_path))).facts()
    wanted = Counter(row["staleness_max"] for own in run.rows for row in own)
    assert dict(facts["measures"]["staleness"]["counts"]) == dict(wanted)
    assert facts["per_shard"] == []


def test_the_page_counts_the_timeline(make_run: MakeRun, tmp_path: Path) -> None:
    """Two lives: rolled back rows do not count, times follow each other, phases add up."""
    first = make_run(3, 2, "ssp", bound=2, steps=24)
    cut = first.state.point()
    first.go_on(9, seed=5)
    second = first.next(cut)
    second.go_on(18, seed=6)
    for run, wait_s in ((first, 0.25), (second, 0.5)):
        for own in run.rows:
            for row in own:
                row |= {"wait_s": wait_s, "compute_s": 0.125}
        run.write(tmp_path)
    facts = overview_of(open_readable(tmp_path))
    assert (facts["steps"], facts["ranks"], facts["missing"]) == (42, 3, [])
    assert [(life["rows"], life["counted"], life["from_life"]) for life in facts["lives"]] == [
        (33, 24, None), (18, 18, 0),
    ]  # fmt: skip
    busy = {name: sum(rank["phases_s"][name] for rank in facts["per_rank"]) for name in
            ("wait", "compute", "read")}  # fmt: skip
    assert busy == {"wait": 24 * 0.25 + 18 * 0.5, "compute": 42 * 0.125, "read": 0}
    assert sum(facts["shares"].values()) == pytest.approx(1)
    assert facts["staleness"]["count"] == 42 * 2
    assert facts["staleness_limit"] == 10
    spans = []
    for run, rows in ((first, [own[:num] for own, num in zip(first.rows, cut.clocks, strict=True)]),
                      (second, second.rows)):  # fmt: skip
        steps = [row for own in rows for row in own]
        length_s = 0.625 if run is second else 0.375
        spans.append(max(row["began_s"] for row in steps) + length_s
                     - min(row["began_s"] for row in steps))  # fmt: skip
    assert facts["seconds"] == pytest.approx(sum(spans))


def test_the_limit_is_that_of_the_life_that_allows_most(make_run: MakeRun, tmp_path: Path) -> None:
    """Fewer ranks later allow less, but the rows before count too; asp in one life has no limit."""
    first = make_run(4, 2, "ssp", bound=1, steps=24)
    second = first.next(first.state.point(), size=2)
    second.go_on(18)
    for run in (first, second):
        run.write(tmp_path)
    assert overview_of(open_readable(tmp_path))["staleness_limit"] == 3 * 3
    third = second.next(second.state.point(), mode="asp")
    third.bound = None
    third.go_on(8)
    third.write(tmp_path)
    assert overview_of(open_readable(tmp_path))["staleness_limit"] is None


def test_what_is_missing_is_told_and_the_rest_counted(make_run: MakeRun, tmp_path: Path) -> None:
    """An absent file and one cut short; with none left nothing can be said."""
    run = make_run(3, 2, "asp")
    root = RunDirectory(run.write(tmp_path))
    paths = [root.log_path(0, rank) for rank in range(3)]
    paths[1].unlink()
    facts = overview_of(open_readable(tmp_path))
    assert facts["missing"] == [f"{paths[1]}: there is no such file"]
    assert facts["steps"] == 60 - len(run.rows[1])
    with paths[2].open("r+b") as file:
        file.truncate(paths[2].stat().st_size // 2)
    facts = overview_of(open_readable(tmp_path))
    assert [what.split(":")[0] for what in facts["missing"]] == list(map(str, paths[1:]))
    assert [rank["rank"] for rank in facts["per_rank"]] == [0]
    paths[0].unlink()
    with pytest.raises(LogError, match="rank-0000"):
        open_readable(tmp_path)
