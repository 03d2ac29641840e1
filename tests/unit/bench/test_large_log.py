"""Large logs without training are logs of a run: nothing is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from mpitrain.bench.large_log import BLOCK_CLOCKS, write_large_log
from mpitrain.storage.reading import open_log


@pytest.mark.parametrize(("size", "num_shards", "bound"), [(4, 3, 3), (1, 1, 0), (3, 2, 1)])
def test_a_large_log_keeps_all_promises(
    tmp_path: Path, size: int, num_shards: int, bound: int
) -> None:
    """Over more than one block of clocks; gradients are stale and leads reach the bound."""
    num_steps = (BLOCK_CLOCKS + 100) * size
    root = write_large_log(
        tmp_path / "run", num_steps, size=size, num_shards=num_shards, bound=bound
    )
    report = verify(root)
    assert report.ok, "\n".join(map(str, report.findings[:5]))
    where = f"each of {num_shards} shards" if num_shards > 1 else "1 shard"
    ranks = f"{size} ranks" if size > 1 else "1 rank"
    assert report.summary() == f"ok: {num_steps} rows, {ranks}, {num_steps} updates on {where}"
    (life,) = open_log(root).lives
    leads = {int(log.steps["lead"].max()) for log in life.ranks.values()}
    assert max(leads) == (bound if size > 1 else 0)
    staleness = max(int(log.steps["staleness_max"].max()) for log in life.ranks.values())
    assert (staleness > 0) == (size > 1)
