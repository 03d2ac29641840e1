from __future__ import annotations

import pytest

from mpitrain.kernels.walk import PACK_BYTES, Walk, walk

SIZES = (*range(20), 255, 256, 257, 1023, 1024, 1025, 10**9 + 7)


@pytest.mark.parametrize(
    ("itemsize", "offset_bytes"), [(4, 0), (4, 4), (4, 8), (4, 12), (8, 0), (8, 8)]
)
def test_walk_covers_every_element_once_in_aligned_packs(itemsize: int, offset_bytes: int) -> None:
    """Head, packs and tail are all elements; packs start at multiples of 16 bytes."""
    width = PACK_BYTES // itemsize
    for num in SIZES:
        cut = walk(num, itemsize, [4096 + offset_bytes, 65536 + offset_bytes])
        assert cut.head + cut.num_packs * width + cut.tail == num
        assert min(cut.head, cut.num_packs, cut.tail) >= 0
        assert cut.head < width
        assert cut.tail < width
        if cut.num_packs:
            assert (offset_bytes + cut.head * itemsize) % PACK_BYTES == 0


def test_walk_uses_no_packs_when_vectors_start_differently() -> None:
    """One misplaced vector is enough: the head cannot be right for all."""
    assert walk(1000, 4, [256, 512, 772]) == Walk(0, 0, 1000)
    assert walk(1000, 8, [256, 264]) == Walk(0, 0, 1000)


def test_walk_of_a_shard_is_the_one_written_down() -> None:
    """Nine float32 from the third element on: two before the boundary, one pack, three after."""
    assert walk(9, 4, [8]) == Walk(head=2, num_packs=1, tail=3)
    assert walk(9, 8, [8]) == Walk(head=1, num_packs=4, tail=0)
    assert walk(1, 4, [8]) == Walk(head=1, num_packs=0, tail=0)
    assert walk(0, 4, [8]) == Walk(head=0, num_packs=0, tail=0)


def test_walk_starts_threads_for_all_turns_up_to_what_runs_at_once() -> None:
    """At least one block, one thread a turn, and never more than asked."""
    assert Walk(0, 0, 0).num_blocks(256, 100) == 1
    assert Walk(3, 256, 3).num_blocks(256, 100) == 1
    assert Walk(3, 257, 3).num_blocks(256, 100) == 2
    assert Walk(0, 0, 1000).num_blocks(256, 100) == 4
    assert Walk(0, 10**9, 0).num_blocks(256, 1056) == 1056
