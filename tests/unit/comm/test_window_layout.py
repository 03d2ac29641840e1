from __future__ import annotations

import itertools

import pytest

from mpitrain.comm.window_layout import HEADER_WORDS, LINE_BYTES, WORD_BYTES, WindowLayout, align
from mpitrain.core.shards import Shards

CASES = [(1, 1, 1), (10, 1, 4), (10, 4, 4), (1000, 9, 3), (7, 7, 2), (100_003, 64, 7)]


@pytest.mark.parametrize(("size", "count", "ranks"), CASES)
@pytest.mark.parametrize("item_bytes", [4, 8])
@pytest.mark.parametrize("keeps_offsets", [False, True])
def test_layout_gives_every_header_and_value_a_place_of_its_own(
    size: int, count: int, ranks: int, item_bytes: int, keeps_offsets: bool
) -> None:
    """Board, headers and values fill each rank's memory, aligned, without overlap."""
    shards = Shards(size, count, ranks)
    layout = WindowLayout(shards, item_bytes, probe_length=5, keeps_offsets=keeps_offsets)
    headers, values = layout.headers(), layout.values()
    for rank in range(ranks):
        spans = [(0, layout.board_words * WORD_BYTES)] if rank == 0 else []
        for shard in range(layout.num_shards):
            if layout.owner(shard) == rank:
                place = headers[shard]
                assert place % LINE_BYTES == 0
                spans.append((place, place + HEADER_WORDS * WORD_BYTES))
                start = values[shard]
                spans.append((start, start + layout.length(shard) * item_bytes))
                is_kept = keeps_offsets and shard < count
                assert start % 16 == (shards.slice(shard).start * item_bytes % 16 if is_kept else 0)
        spans.sort()
        for (_, end), (begin, _) in itertools.pairwise(spans):
            assert end <= begin
        assert spans[-1][1] <= layout.memory_bytes(rank)


def test_layout_adds_a_probe_shard_for_every_rank() -> None:
    """Shards beyond the parameters' belong to one rank each."""
    layout = WindowLayout(Shards(10, 2, 4), 4, probe_length=3)
    assert layout.num_shards == 6
    assert [layout.owner(k) for k in range(2, 6)] == [0, 1, 2, 3]
    assert [layout.length(k) for k in range(6)] == [5, 5, 3, 3, 3, 3]


@pytest.mark.parametrize(("size_bytes", "aligned"), [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_align_rounds_up_to_cache_lines(size_bytes: int, aligned: int) -> None:
    """Whole lines only."""
    assert align(size_bytes) == aligned
