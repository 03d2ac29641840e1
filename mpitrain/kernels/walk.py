"""How a device kernel walks vectors that may start anywhere: pure arithmetic.

Most elements are moved 16 bytes at a time. That takes addresses that are multiples of 16, so the
elements before the first such address (the head) and those that do not fill the last 16 bytes
(the tail) are moved one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PACK_BYTES = 16


@dataclass(frozen=True)
class Walk:
    """A cut of the elements: head, packs, tail.

    Attributes:
        head: elements before the first pack.
        num_packs: packs of 16 bytes.
        tail: elements after the last pack.
    """

    head: int
    num_packs: int
    tail: int

    def num_blocks(self, threads: int, most: int) -> int:
        """Return how many thread blocks to start, at least 1.

        Args:
            threads: in a block; each takes a pack, or an element of head and tail, at a time.
            most: the threads of so many walk more elements than they are in strides.
        """
        turns = max(self.num_packs, self.head + self.tail)
        return max(1, min(most, -(-turns // threads)))


def walk(num: int, itemsize: int, addresses: Iterable[int]) -> Walk:
    """Return the cut for vectors at these addresses.

    Vectors that are not equally far from a multiple of 16 bytes are walked element by element.

    Args:
        num: elements of each vector.
        itemsize: bytes of an element; divides 16 and every address.
        addresses: of the first elements, bytes.
    """
    offsets = {address % PACK_BYTES for address in addresses}
    if len(offsets) > 1:
        return Walk(0, 0, num)
    head = min(num, (-offsets.pop() % PACK_BYTES) // itemsize)
    width = PACK_BYTES // itemsize
    num_packs = (num - head) // width
    return Walk(head, num_packs, num - head - num_packs * width)
