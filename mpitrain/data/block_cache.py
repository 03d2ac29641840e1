"""Blocks of rows in bounded memory, read when asked for and, by one thread, a little earlier.

Two threads touch a cache: the owner, who calls everything public, and the reader, started by the
first ``prefetch`` and ended by ``close``. One lock orders them; it is never held while a block is
read, so that the owner waits for the reader only when it wants the very block being read.

At most ``capacity`` blocks exist at a time, those being read included; the block used longest ago
makes room. (A block that the owner still holds may outlive its place in the cache by one copy.)
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from mpitrain.core.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt


class BlockCache:
    """Least-recently-used cache of numbered blocks with one prefetching thread.

    Args:
        read: returns a block by its number, as new memory; called from both threads, so it must
            be safe for that.
        capacity: blocks to hold, >= 1.
    """

    def __init__(self, read: Callable[[int], npt.NDArray[Any]], capacity: int) -> None:
        """Start empty, without a thread."""
        self.capacity = capacity
        self.num_hits = 0
        self.num_misses = 0
        self.num_prefetched = 0
        self._read = read
        self._blocks: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()
        self._wanted: deque[int] = deque()
        self._reading: set[int] = set()
        self._error: Exception | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    @property
    def cached_bytes(self) -> int:
        """Bytes of all blocks held now."""
        with self._changed:
            return sum(block.nbytes for block in self._blocks.values())

    def block(self, index: int) -> npt.NDArray[Any]:
        """Return a block, from memory where it is there, else by reading it now.

        Raises:
            ClosedError: the cache was closed.
            Exception: what ``read`` raised, here or since the last call in the thread.
        """
        with self._changed:
            while index in self._reading:
                self._changed.wait()
            self._check()
            if index in self._blocks:
                self.num_hits += 1
                self._blocks.move_to_end(index)
                return self._blocks[index]
            self.num_misses += 1
            if index in self._wanted:
                self._wanted.remove(index)
            self._begin(index)
        try:
            block = self._read(index)
        except BaseException:
            self._finish(index)
            raise
        self._finish(index, block=block)
        return block

    def prefetch(self, indices: Iterable[int]) -> None:
        """Let the thread read these blocks; returns at once.

        Blocks already held count as used again. Of more wishes than the cache holds, the oldest
        are dropped.

        Raises:
            ClosedError: the cache was closed.
            Exception: what ``read`` raised in the thread since the last call.
        """
        with self._changed:
            self._check()
            for index in indices:
                if index in self._blocks:
                    self._blocks.move_to_end(index)
                elif index not in self._reading and index not in self._wanted:
                    self._wanted.append(index)
            while len(self._wanted) > self.capacity:
                self._wanted.popleft()
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="mpitrain-prefetch", daemon=True
                )
                self._thread.start()
            if self._wanted:
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread, waiting for the read in progress, and drop all blocks; idempotent."""
        with self._changed:
            self._is_closed = True
            self._wanted.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._blocks.clear()

    def _check(self) -> None:
        if self._is_closed:
            msg = "data source: already closed"
            raise ClosedError(msg)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _begin(self, index: int) -> None:
        """Note that a block is being read and make room for it; the lock is held."""
        self._reading.add(index)
        while self._blocks and len(self._blocks) + len(self._reading) > self.capacity:
            self._blocks.popitem(last=False)

    def _finish(
        self, index: int, *, block: npt.NDArray[Any] | None = None, error: Exception | None = None
    ) -> None:
        """Note how a read ended and wake whoever waits for the block."""
        with self._changed:
            self._reading.discard(index)
            if block is not None:
                self._blocks[index] = block
            if error is not None:
                self._error = error
                self._wanted.clear()
            self._changed.notify_all()

    def _serve(self) -> None:
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        """Wait for a wish and fulfil it; return whether to go on."""
        with self._changed:
            while not self._wanted and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            index = self._wanted.popleft()
            self._begin(index)
        try:
            self._finish(index, block=self._read(index))
            self.num_prefetched += 1
        except Exception as error:  # handed to the owner, whose next call raises it
            self._finish(index, error=error)
        return True
