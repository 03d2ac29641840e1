"""Blocks in bounded memory with a prefetching thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from mpitrain.core.errors import ClosedError
from mpitrain.data.block_cache import BlockCache

LIMIT_S = 30


class Reader:
    """Hands out recognisable blocks, counts, and can be held up or made to fail."""

    def __init__(self) -> None:
        """Begin unhindered."""
        self.read: list[int] = []
        self.threads: set[str] = set()
        self.failing: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self.has_begun = threading.Event()

    def __call__(self, index: int) -> np.ndarray:
        """Return ten bytes of the block's number."""
        self.has_begun.set()
        assert self.may_go.wait(LIMIT_S)
        self.read.append(index)
        self.threads.add(threading.current_thread().name)
        if index in self.failing:
            msg = f"block {index} is broken"
            raise OSError(msg)
        return np.full(10, index, np.uint8)


@pytest.fixture
def reader() -> Reader:
    """Return a reader that notes what it read."""
    return Reader()


@pytest.fixture
def cache(reader: Reader) -> Iterator[BlockCache]:
    """Return a cache of three blocks and close it in the end."""
    cache = BlockCache(reader, capacity=3)
    yield cache
    reader.may_go.set()
    cache.close()


def wait_for_thread(cache: BlockCache) -> None:
    """Return when every wish is fulfilled."""
    with cache._changed:
        assert cache._changed.wait_for(lambda: not (cache._wanted or cache._reading), LIMIT_S)


def test_block_is_read_once_while_it_is_used(cache: BlockCache, reader: Reader) -> None:
    """Asked for again, a block comes from memory; the one used longest ago makes room."""
    for index in (0, 1, 2, 0, 3, 0):
        assert cache.block(index)[0] == index
    assert reader.read == [0, 1, 2, 3]
    assert (cache.num_hits, cache.num_misses) == (2, 4)
    cache.block(1)
    assert reader.read == [0, 1, 2, 3, 1]


def test_cache_never_holds_more_than_its_capacity(cache: BlockCache) -> None:
    """However many blocks are asked for and wished for, three are kept."""
    for index in range(20):
        cache.prefetch(range(index, index + 9))
        cache.block(index)
        assert cache.cached_bytes <= 30
    wait_for_thread(cache)
    assert cache.cached_bytes == 30


def test_prefetched_block_is_read_by_the_thread_and_not_again(
    cache: BlockCache, reader: Reader
) -> None:
    """The owner finds what the thread has read."""
    cache.prefetch([4, 5])
    wait_for_thread(cache)
    assert [cache.block(index)[0] for index in (4, 5)] == [4, 5]
    assert reader.threads == {"mpitrain-prefetch"}
    assert (cache.num_prefetched, cache.num_misses, len(reader.read)) == (2, 0, 2)


def test_owner_waits_for_the_block_being_read(cache: BlockCache, reader: Reader) -> None:
    """A block in the making is waited for, not read a second time, even if wished for twice."""
    reader.may_go.clear()
    cache.prefetch([7])
    assert reader.has_begun.wait(LIMIT_S)
    cache.prefetch([7])
    threading.Timer(0.05, reader.may_go.set).start()
    assert cache.block(7)[0] == 7
    wait_for_thread(cache)
    assert reader.read == [7]


def test_wish_not_begun_is_taken_over_by_the_owner(cache: BlockCache, reader: Reader) -> None:
    """While the thread is busy elsewhere, the owner reads what it needs by itself."""
    reader.may_go.clear()
    cache.prefetch([1, 2])
    assert reader.has_begun.wait(LIMIT_S)
    threading.Timer(0.05, reader.may_go.set).start()
    assert cache.block(2)[0] == 2
    wait_for_thread(cache)
    assert sorted(reader.read) == [1, 2]


def test_wish_keeps_a_held_block_from_making_room(cache: BlockCache, reader: Reader) -> None:
    """A block that the next batch needs counts as used when it is wished for."""
    for index in (0, 1, 2):
        cache.block(index)
    cache.prefetch([0, 3])
    wait_for_thread(cache)
    cache.block(0)
    assert reader.read == [0, 1, 2, 3]


def test_error_in_the_thread_reaches_the_owner(cache: BlockCache, reader: Reader) -> None:
    """The owner's next call raises it, once; the block can be tried again."""
    reader.failing.add(6)
    cache.prefetch([6])
    wait_for_thread(cache)
    with pytest.raises(OSError, match="block 6 is broken"):
        cache.block(0)
    assert cache.block(0)[0] == 0
    cache.prefetch([6])
    wait_for_thread(cache)
    with pytest.raises(OSError, match="block 6 is broken"):
        cache.prefetch([1])
    reader.failing.clear()
    assert cache.block(6)[0] == 6


def test_error_of_the_awaited_block_reaches_the_waiting_owner(
    cache: BlockCache, reader: Reader
) -> None:
    """An owner that waits for the very block gets its error, not a hang."""
    reader.failing.add(6)
    reader.may_go.clear()
    cache.prefetch([6])
    assert reader.has_begun.wait(LIMIT_S)
    threading.Timer(0.05, reader.may_go.set).start()
    with pytest.raises(OSError, match="block 6 is broken"):
        cache.block(6)
    assert reader.read == [6]


def test_error_in_the_owners_own_read_leaves_the_cache_usable(
    cache: BlockCache, reader: Reader
) -> None:
    """A failed read holds no place and blocks nobody."""
    reader.failing.add(2)
    with pytest.raises(OSError, match="block 2 is broken"):
        cache.block(2)
    reader.failing.clear()
    assert cache.block(2)[0] == 2


def test_close_ends_the_thread_and_refuses_further_use(cache: BlockCache) -> None:
    """After close no thread is left; a second close is fine, any other call is an error."""
    cache.prefetch([1, 2, 3])
    thread = cache._thread
    assert thread is not None
    assert thread.is_alive()
    cache.close()
    cache.close()
    assert not thread.is_alive()
    assert cache.cached_bytes == 0
    with pytest.raises(ClosedError, match="already closed"):
        cache.block(1)
    with pytest.raises(ClosedError, match="already closed"):
        cache.prefetch([1])


def test_no_thread_is_started_without_a_wish(cache: BlockCache) -> None:
    """Who never prefetches has no thread."""
    cache.block(1)
    cache.prefetch([1])
    assert cache._thread is None
