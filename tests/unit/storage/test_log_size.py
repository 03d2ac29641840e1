from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpitrain.storage.log_size import file_bytes, row_bytes
from mpitrain.storage.staleness_log import LogWriter


@pytest.mark.parametrize("num_shards", [1, 4, 64])
@pytest.mark.parametrize("per_shard", [True, False])
@pytest.mark.parametrize("num_rows", [0, 300, 5000])
def test_log_is_about_as_large_as_was_said(
    tmp_path: Path, num_shards: int, per_shard: bool, num_rows: int
) -> None:
    """Within 25 %, for short logs and long ones."""
    path = tmp_path / "rank-00000.h5"
    versions = np.zeros(num_shards, np.int64)
    with LogWriter(
        path,
        attributes={"rank": 0, "layout": "x" * 200},
        shards=np.zeros((num_shards, 3), np.int64),
        per_shard=per_shard,
        flush_every_s=1e6,
    ) as log:
        log.event(0.0, "digest", {"parameters_sha256": "0" * 64})
        for row in range(num_rows):
            log.append(row, row, *[0.0] * 5, 0, 0.0, 0, 0, *[0.0] * 5, 8, versions, versions)
    said = file_bytes(num_rows, num_shards, per_shard=per_shard)
    assert said == pytest.approx(path.stat().st_size, rel=0.25)


def test_row_has_the_bytes_of_its_columns() -> None:
    """84 bytes, and 16 more for each shard."""
    assert row_bytes(1, per_shard=False) == row_bytes(9, per_shard=False) == 84
    assert row_bytes(4, per_shard=True) == 84 + 16 * 4
