"""A fair lock per shard: the ticket lock, on two words of the shard's header.

Whoever wants the lock draws a number from ``next`` and waits until ``serving`` shows it; leaving
adds one to ``serving``. First come, first served, so no rank starves, and the queue costs its
members nothing but polling. The holder writes its rank and the time into the header, so that the
others can say whom they wait for when it dies or hangs inside.

Source: Mellor-Crummey and Scott, "Algorithms for scalable synchronization on shared-memory
multiprocessors", 1991, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable

from mpitrain.comm.waiting import Patience
from mpitrain.comm.window_layout import NEXT, SERVING, WORD_BYTES
from mpitrain.comm.words import Words


class ShardLock:
    """The lock of every shard, seen from one rank, which holds at most one at a time."""

    def __init__(
        self,
        words: Words,
        owners: list[int],
        headers: list[int],
        patience: Patience,
        describe: Callable[[int], str],
    ) -> None:
        """Use the locks in the headers.

        Args:
            words: atomic access to the window.
            owners: rank that owns each shard.
            headers: displacement of each shard's header, bytes.
            patience: paces the queue.
            describe: says, for a shard, who holds its lock since when.
        """
        self._words = words
        self._owners = owners
        self._next = [place + NEXT * WORD_BYTES for place in headers]
        self._serving = [place + SERVING * WORD_BYTES for place in headers]
        self._patience = patience
        self._describe_shard = describe
        self._shard = 0
        self._number = 0

    def acquire(self, shard: int) -> None:
        """Queue for the lock of ``shard`` and return as its only holder.

        Raises:
            StallError: the holder kept it for longer than the patience lasts.

        Collective: no.
        """
        self._shard = shard
        self._number = self._words.fetch_and_add(self._owners[shard], self._next[shard], 1)
        self._patience.wait_until(self._is_served, self._describe)

    def release(self, shard: int) -> None:
        """Let the next in the queue in; what was written must be flushed before.

        Collective: no.
        """
        self._words.fetch_and_add(self._owners[shard], self._serving[shard], 1)

    def _is_served(self) -> bool:
        shard = self._shard
        return self._words.fetch(self._owners[shard], self._serving[shard]) == self._number

    def _describe(self) -> str:
        return self._describe_shard(self._shard)
