from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.core.tree import tree_pairs, tree_sum_into

Vector = npt.NDArray[np.float64]


def balanced_sum(parts: list[Vector]) -> Vector:
    """Return the sum in the stated order: the largest power of two on the left, recursively."""
    if len(parts) == 1:
        return parts[0]
    left = 1
    while 2 * left < len(parts):
        left *= 2
    return balanced_sum(parts[:left]) + balanced_sum(parts[left:])


@pytest.mark.parametrize("num_parts", range(1, 18))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tree_sum_equals_the_recursion_bit_for_bit(num_parts: int, dtype: str) -> None:
    """The result is the balanced sum exactly, with parts of very different size."""
    random = np.random.default_rng(num_parts)
    scales = 10.0 ** random.integers(-4, 5, (num_parts, 1))
    parts = list((random.standard_normal((num_parts, 501)) * scales).astype(dtype))
    expected = balanced_sum([part.copy() for part in parts])
    tree_sum_into(parts)
    np.testing.assert_array_equal(parts[0], expected)


def test_tree_sum_order_matters_for_these_inputs() -> None:
    """The test above would notice another order: a left-to-right sum has other bits."""
    random = np.random.default_rng(9)
    parts = list(random.standard_normal((9, 501)))
    in_order = parts[0].copy()
    for part in parts[1:]:
        in_order += part
    tree_sum_into(parts)
    np.testing.assert_allclose(parts[0], in_order, rtol=1e-9, atol=1e-12)
    assert (parts[0] != in_order).any()


def test_tree_sum_writes_into_the_first_part() -> None:
    """The sum is in the memory of the first part; the sum of one part is that part."""
    first = np.array([1.0, 2.0])
    tree_sum_into([first])
    np.testing.assert_array_equal(first, [1.0, 2.0])
    tree_sum_into([first, np.array([10.0, 20.0]), np.array([100.0, 200.0])])
    np.testing.assert_array_equal(first, [111.0, 222.0])


@pytest.mark.parametrize("num_parts", range(1, 18))
def test_tree_pairs_use_every_part_once_as_source(num_parts: int) -> None:
    """Every part but the first is added exactly once, and never changed after that."""
    pairs = tree_pairs(num_parts)
    assert sorted(source for _, source in pairs) == list(range(1, num_parts))
    done: set[int] = set()
    for into, source in pairs:
        assert into not in done
        assert source not in done
        done.add(source)


def test_tree_pairs_double_the_stride() -> None:
    """Neighbours first, then neighbours of neighbours; an odd one out waits."""
    assert tree_pairs(5) == [(0, 1), (2, 3), (0, 2), (0, 4)]
