from __future__ import annotations

import numpy as np

from mpitrain.replay.versions import Versions


def test_version_is_kept_as_long_as_somebody_reads_it() -> None:
    """And no longer; its memory is used again."""
    present = np.zeros(3)
    shard = Versions(present, np.array([7, 7, 8, 10]), 7)
    out = np.empty(3)
    shard.read_into(7, out)
    assert (out.tolist(), shard.num_kept) == ([0, 0, 0], 0)
    for step in (1.0, 10.0):  # 8, 9
        shard.add(np.full(3, step))
    assert (shard.version, shard.num_kept, shard.most_kept) == (9, 2, 2)
    shard.read_into(7, out)
    assert (out.tolist(), shard.num_kept) == ([0, 0, 0], 1)
    shard.read_into(8, out)
    assert (out.tolist(), shard.num_kept) == ([1, 1, 1], 0)
    shard.add(np.full(3, 100.0))  # nobody reads 9
    assert (shard.num_kept, shard.most_kept) == (0, 2)
    shard.read_into(10, out)
    assert out.tolist() == [111, 111, 111]
    shard.add(np.ones(3))  # beyond every reader
    assert (present.tolist(), shard.num_kept) == ([112, 112, 112], 0)
