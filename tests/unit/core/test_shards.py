from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.core.shards import Shards

CASES = [
    Shards(size, count, num_ranks)
    for size in (1, 2, 7, 64, 1000)
    for count in (1, 2, 3, 7, 64)
    for num_ranks in (1, 2, 3, 8, 65)
    if count <= size
]


@pytest.mark.parametrize("shards", CASES, ids=str)
def test_shards_cover_every_element_once_and_evenly(shards: Shards) -> None:
    """The ranges follow each other without gap; none is empty; lengths differ by at most one."""
    elements = np.arange(shards.size)
    parts = [elements[shards.slice(k)] for k in range(shards.count)]
    np.testing.assert_array_equal(np.concatenate(parts), elements)
    lengths = [shards.length(k) for k in range(shards.count)]
    assert lengths == [len(part) for part in parts]
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("shards", CASES, ids=str)
def test_shards_have_one_owner_each(shards: Shards) -> None:
    """A rank's shards are those whose owner it is; every shard is some rank's."""
    for rank in range(shards.num_ranks):
        owned = [k for k in range(shards.count) if shards.owner(k) == rank]
        assert list(shards.owned_by(rank)) == owned
    assert sum(len(shards.owned_by(rank)) for rank in range(shards.num_ranks)) == shards.count


def test_shards_table_holds_start_stop_and_owner() -> None:
    """The table is what a log stores."""
    table = Shards(10, 4, 2).table()
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, [[0, 2, 0], [2, 5, 0], [5, 7, 1], [7, 10, 1]])


def test_shards_weights_are_parts_of_the_vector() -> None:
    """Weights are lengths over the size."""
    weights = Shards(10, 4, 2).weights()
    assert weights.dtype == np.float64
    np.testing.assert_allclose(weights, [0.2, 0.3, 0.2, 0.3], rtol=1e-15)


def test_shards_of_an_empty_vector_are_one_empty_shard() -> None:
    """A model without parameters has one shard of no elements."""
    shards = Shards(0, 1, 3)
    assert shards.slice(0) == slice(0, 0)
    np.testing.assert_array_equal(shards.weights(), [0.0])


@pytest.mark.parametrize(("size", "count"), [(10, 0), (10, 11), (0, 2), (10, -1)])
def test_shards_refuse_a_count_that_leaves_some_empty(size: int, count: int) -> None:
    """The error names the setting, the limits and the value."""
    with pytest.raises(UserError, match=rf"mode\.shards must be >= 1 and <= .*, got {count}"):
        Shards(size, count, 2)
