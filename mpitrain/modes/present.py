"""The present values of one shard at a time, where a compensation wants them."""

from __future__ import annotations

from collections.abc import Sequence

from mpitrain.core.arrays import Array
from mpitrain.devices.transfer import Vector, transfer_of
from mpitrain.kernels.walk import PACK_BYTES
from mpitrain.modes.update import Update


class Present:
    """Memory of the longest shard, on the host and where the update is; shards take turns.

    Attributes:
        transfer: what moves them; closed by its user.
    """

    def __init__(self, update: Update, parts: Sequence[slice]) -> None:
        """Allocate.

        Args:
            update: wants present values.
            parts: of the shards.
        """
        xp, dtype = update.twin.xp, update.gradient.dtype
        size, self._places = places_of(parts, dtype.itemsize)
        vector = xp.zeros(size, dtype)
        self.transfer = transfer_of(xp, vector, [slice(0, size)])
        self._parts: list[Array] = [vector[place] for place in self._places]

    def on_host(self, shard: int) -> Vector:
        """Return where the host is to write the present values of a shard."""
        return self.transfer.on_host(0)[self._places[shard]]

    def uploaded(self, shard: int) -> Array:
        """Return them where the update is, the same memory every time."""
        self.transfer.upload(0)
        return self._parts[shard]


def places_of(parts: Sequence[slice], itemsize: int) -> tuple[int, list[slice]]:
    """Return the elements that hold the longest shard, and where in them each shard belongs.

    Each is as far from a multiple of 16 bytes as it is in its vector: kernels like that, and sums
    over both have the same bits wherever shards come from.
    """
    width = PACK_BYTES // itemsize
    lengths = [part.stop - part.start for part in parts]
    offsets = [part.start % width for part in parts]
    places = [slice(o, o + n) for o, n in zip(offsets, lengths, strict=True)]
    return max(lengths) + width - 1, places
