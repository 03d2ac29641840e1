"""Where everything lies in the window: pure arithmetic, the same on every rank.

Rank 0's memory begins with the board (ticket counter, calls, clocks). Then, on every rank, come the
shards it owns and last its probe shard, a scratch shard that only the start-up probe writes.
A shard is a header of eight int64 words on a cache line of its own, then the values:

    word  name      written by                         read by
    0     next      Fetch_and_op                       Fetch_and_op
    1     serving   Fetch_and_op                       Fetch_and_op
    2     version   Put, holder of the lock            Get
    3     begun     Put, holder of the lock            Get
    4     holder    Put, holder of the lock (rank + 1) Get
    5     since     Put, holder of the lock (ns)       Get
"""

from __future__ import annotations

from dataclasses import dataclass

from mpitrain.core.shards import Shards

WORD_BYTES = 8
LINE_BYTES = 64
OFFSET_BYTES = 16  # kernels of a device move so many at a time
PROBE_BYTES = 1 << 20  # values in a probe shard, at most
HEADER_WORDS = 8
NEXT, SERVING, VERSION, BEGUN, HOLDER, SINCE = range(6)


def align(size_bytes: int) -> int:
    """Round ``size_bytes`` up to whole cache lines."""
    return -(-size_bytes // LINE_BYTES) * LINE_BYTES


@dataclass(frozen=True)
class WindowLayout:
    """Byte displacements of the board, headers and values of every rank's window memory.

    Attributes:
        shards: the parameter shards; probe shard of rank r has the number ``count + r``.
        item_bytes: size of one parameter value.
        probe_length: values in each rank's probe shard.
        keeps_offsets: values of a parameter shard are as far from a multiple of 16 bytes as they
            are in the flat vector, else on a cache line.
    """

    shards: Shards
    item_bytes: int
    probe_length: int
    keeps_offsets: bool = False

    @classmethod
    def of(cls, shards: Shards, item_bytes: int, *, keeps_offsets: bool = False) -> WindowLayout:
        """Lay out a window for ``shards``, whose probe shards are like the longest, but small."""
        longest = max(shards.length(shard) for shard in range(shards.count))
        probe_length = max(1, min(longest, PROBE_BYTES // item_bytes))
        return cls(shards, item_bytes, probe_length, keeps_offsets)

    @property
    def board_words(self) -> int:
        """Words of the board on rank 0: ticket counter, calls, then one clock per rank."""
        return 2 + self.shards.num_ranks

    @property
    def num_shards(self) -> int:
        """Number of all shards, probe shards included."""
        return self.shards.count + self.shards.num_ranks

    def owner(self, shard: int) -> int:
        """Return the rank whose memory holds ``shard``."""
        count = self.shards.count
        return self.shards.owner(shard) if shard < count else shard - count

    def length(self, shard: int) -> int:
        """Return the number of values in ``shard``."""
        return self.shards.length(shard) if shard < self.shards.count else self.probe_length

    def memory_bytes(self, rank: int) -> int:
        """Return how many bytes of window memory ``rank`` allocates."""
        return self._begin(rank) + sum(self._extent(shard) for shard in self._owned(rank))

    def headers(self) -> list[int]:
        """Return the displacement of each shard's header in its owner's memory, in bytes."""
        places = [0] * self.num_shards
        for rank in range(self.shards.num_ranks):
            place = self._begin(rank)
            for shard in self._owned(rank):
                places[shard] = place
                place += self._extent(shard)
        return places

    def values(self) -> list[int]:
        """Return the displacement of each shard's values in its owner's memory, in bytes."""
        return [place + self._before_values(k) for k, place in enumerate(self.headers())]

    def _owned(self, rank: int) -> list[int]:
        return [*self.shards.owned_by(rank), self.shards.count + rank]

    def _begin(self, rank: int) -> int:
        return align(self.board_words * WORD_BYTES) if rank == 0 else 0

    def _extent(self, shard: int) -> int:
        return align(self._before_values(shard) + self.length(shard) * self.item_bytes)

    def _before_values(self, shard: int) -> int:
        header = HEADER_WORDS * WORD_BYTES
        if not self.keeps_offsets or shard >= self.shards.count:
            return header
        first = int(self.shards.slice(shard).start)
        return header + first * self.item_bytes % OFFSET_BYTES
