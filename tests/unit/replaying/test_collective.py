from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.tree import tree_sum_into
from mpitrain.kernels.twins import host_twin
from mpitrain.replaying.collective import TreeSum


@pytest.mark.parametrize("num", [*range(1, 18), 31, 32, 33])
def test_sum_as_they_come_is_the_trees_sum(num: int) -> None:
    """The same bits for any number of ranks, twice with the same memory."""
    random = np.random.default_rng(num)
    vector = np.empty(5, np.float32)
    summing = TreeSum(vector, host_twin("numpy"))
    for _ in range(2):
        parts = [random.normal(size=5).astype(np.float32) for _ in range(num)]
        for part in parts:
            vector[:] = part
            summing.add()
        summing.finish()
        tree_sum_into(parts)
        assert vector.tobytes() == parts[0].tobytes()
