"""The measurement of the offline tools."""

from __future__ import annotations

from mpitrain.bench.tools import measure


def test_bench_tools_measures_each_tool_beside_reading_the_bytes() -> None:
    """A row for the floor and for each tool, which answers; memory is that of its process."""
    floor, *rows = measure(2000)
    assert floor["tool"] == "read all bytes"
    assert floor["gb"] > 2000 * 300 / 1e9
    assert [row["tool"] for row in rows][:3] == ["summary", "staleness", "verify"]
    for row in rows:
        assert row["exit"] == 0
        assert 20 < row["peak_mib"] < 2000
        assert row["cpu_s"] > 0


def test_tools_take_far_less_memory_than_a_large_log() -> None:
    """The log grows by 100 MB; what it takes to answer grows by a part of that only."""
    small, large = ({row["tool"]: row for row in measure(steps)} for steps in (2000, 320_000))
    grown_mib = (large["read all bytes"]["gb"] - small["read all bytes"]["gb"]) * 1e9 / 2**20
    assert grown_mib > 90
    for tool, share in {"summary": 0.3, "staleness": 0.3, "verify": 0.5}.items():
        assert large[tool]["peak_mib"] - small[tool]["peak_mib"] < share * grown_mib
