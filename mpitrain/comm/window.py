"""The parameter window: every shard in its owner's memory, read and written by all ranks.

Who writes: a rank that holds the shard's lock (a ticket lock in the shard's header), nobody else,
the owner included. Who reads: any rank, at any time. Everything happens inside one lock_all
access epoch that lasts as long as the window; operations are completed by Flush.

A write section is ``begin_write``, then ``add`` (or ``present_into`` and ``replace``), then
``end_write``. What orders it for the others:

    begin_write   take the lock; read version v; Put begun = v + 1, holder, since; Flush
    add           change the values; Flush
    end_write     Put version = v + 1, begun = v + 1, holder = 0; Flush; release the lock

A read is optimistic once: Get the header; when ``begun == version`` nobody is writing, so Get the
values, then Get the header again: if ``begun`` has not moved, no write began in between and the
values are exactly version ``version``. Long shards are looked at again every 1 MiB, so that a
spoilt read ends soon. Otherwise the rank takes the lock, reads, and lets go: fair, so writers
cannot starve it. Each Get is flushed before the next is issued, which is what makes "header,
values, header" an order. Every snapshot is therefore whole, with its version,
and every written version 1, 2, 3, ... is given to exactly one update.

What is NOT guaranteed: that two shards of one read are of the same moment (each is consistent by
itself); that a read returns the newest version there is when it ends; that any of this makes
progress between hosts while the target computes (see progress.py).

Values are changed by ``accumulate`` (MPI_Accumulate) or by ``get_add_put`` in pieces that stay in
cache, or by whoever stores to ``memory_of`` in his write section; all add the same two numbers
once, so all give the same bits. The start-up probe chooses the faster of the first two. Who reads
by load (``read_by``) takes a whole shard between two looks at the header. An access epoch per read
or write (MPI_Win_lock) is not used: it waits for a busy owner on MPICH even within one host, where
these words and Gets do not.

Window memory comes from MPI_Win_allocate, shared memory within a host; where a device works in it,
from MPI_Win_allocate_shared. Its loads and stores keep the same order: they begin after the Flush
of the header before them and are over, for all to see, before the next call. Origin buffers belong
to this object or to the caller until the Flush inside the same call, so none can vanish early.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from mpi4py import MPI

from mpitrain.comm.lock import ShardLock
from mpitrain.comm.shared_memory import allocate_shared
from mpitrain.comm.waiting import Patience
from mpitrain.comm.window_layout import (
    BEGUN,
    HOLDER,
    SINCE,
    VERSION,
    WORD_BYTES,
    WindowLayout,
)
from mpitrain.comm.words import Words
from mpitrain.comm.world import World
from mpitrain.core.errors import ClosedError
from mpitrain.core.shards import Shards

COUNT_LIMIT = 1 << 27  # elements per call: MPI counts are int, and some count bytes inside
PIECE_BYTES = 128 << 10  # a piece of get_add_put: two of them stay in a core's own cache
LOOK_EVERY_BYTES = 1 << 20  # a read that a writer has spoilt is given up this soon
MARK_WORDS = 4  # version, begun, holder, since: adjacent, moved together

ACCUMULATE = "accumulate"
GET_ADD_PUT = "get_add_put"


TYPES = {"float32": MPI.FLOAT, "float64": MPI.DOUBLE}


class ParameterWindow:
    """Exact versioned shards of one flat parameter vector; see the module's exposition.

    Attributes:
        shards: how the vector is cut.
        dtype: of the values.
        is_shared: whether all ranks can load and store it.
        add_mechanism: "accumulate" or "get_add_put"; the probe sets it, the same on all ranks.
    """

    def __init__(
        self,
        world: World,
        shards: Shards,
        dtype: npt.DTypeLike,
        patience: Patience,
        *,
        is_shared: bool = False,
    ) -> None:
        """Allocate and zero the window, then open its access epoch.

        Args:
            world: the ranks.
            shards: the cut, with ``num_ranks`` = size of the world.
            dtype: float32 or float64.
            patience: paces the wait for a lock.
            is_shared: ``memory_of`` is used; all ranks must be able to share memory.

        Raises:
            NoSharedMemoryError: on every rank, when any got none.

        Collective: yes.
        """
        self.shards = shards
        self.is_shared = is_shared
        self.add_mechanism = ACCUMULATE
        self._world = world
        self.dtype = np.dtype(dtype)
        self._type = TYPES[self.dtype.name]
        layout = WindowLayout.of(shards, self.dtype.itemsize, keeps_offsets=is_shared)
        self.layout = layout
        self._owners = [layout.owner(k) for k in range(layout.num_shards)]
        self._lengths = [layout.length(k) for k in range(layout.num_shards)]
        headers = layout.headers()
        self._marks = [place + VERSION * WORD_BYTES for place in headers]
        self._values = layout.values()

        num_bytes = layout.memory_bytes(world.rank)
        win = (
            allocate_shared(world, num_bytes)
            if is_shared
            else MPI.Win.Allocate(num_bytes, 1, comm=world.comm)
        )
        win.Lock_all(MPI.MODE_NOCHECK)
        np.asarray(win.tomemory())[:] = 0  # MPICH does not zero it
        win.Sync()
        world.meet("the parameter window is zeroed")
        self._win: MPI.Win | None = win
        self.words = Words(win)
        self._lock = ShardLock(self.words, self._owners, headers, patience, self._describe_holder)

        self._mark = np.zeros(MARK_WORDS, np.int64)
        self._mark_spec = [self._mark, MARK_WORDS, MPI.INT64_T]
        self._look_every = LOOK_EVERY_BYTES // self.dtype.itemsize
        self._piece = np.empty(PIECE_BYTES // self.dtype.itemsize, self.dtype)

    def read_into(self, shard: int, out: npt.NDArray[Any]) -> int:
        """Fetch one consistent snapshot of ``shard`` and return its version.

        Args:
            shard: number of the shard.
            out: (length of the shard,), dtype of the window, host, overwritten.

        Raises:
            StallError: a writer kept the lock for longer than the patience lasts.
            ClosedError: after close.

        Collective: no.
        """
        version, begun = self._get_mark(shard)
        for start, stop in _pieces(self._lengths[shard], self._look_every):
            if begun != version:
                break
            self._get_piece(shard, start, out[start:stop])
            _, begun = self._get_mark(shard)
        if begun == version:
            return version
        return self._read_locked(shard, lambda: self._get_values(shard, out))

    def read_by(self, shard: int, fetch: Callable[[], None]) -> int:
        """Let ``fetch`` take one consistent snapshot of ``shard`` and return its version.

        Args:
            shard: number of the shard.
            fetch: has read all of ``memory_of(shard)`` when it returns; called once or twice, the
                last time counts.

        Raises:
            StallError: a writer kept the lock for longer than the patience lasts.
            ClosedError: after close.

        Collective: no.
        """
        version, begun = self._get_mark(shard)
        if begun == version:
            fetch()
            _, begun = self._get_mark(shard)
        return version if begun == version else self._read_locked(shard, fetch)

    def memory_of(self, shard: int) -> npt.NDArray[Any]:
        """Return the values of ``shard`` where they are, for load and store on one host.

        They may be written in this rank's write section alone, and must be there before it ends.

        Returns:
            (length of the shard,), dtype of the window, until the window is closed.

        Collective: no.
        """
        memory, _ = self._open().Shared_query(self._owners[shard])
        start, num_bytes = self._values[shard], self._lengths[shard] * self.dtype.itemsize
        return np.asarray(memory)[start : start + num_bytes].view(self.dtype)

    def begin_write(self, shard: int) -> int:
        """Enter the write section of ``shard``; return the version present in it.

        Raises:
            StallError: another rank kept the lock for longer than the patience lasts.
            ClosedError: after close.

        Collective: no.
        """
        self._lock.acquire(shard)
        version, _ = self._get_mark(shard)
        self._put_mark(shard, version, version + 1, self._world.rank + 1)
        return version

    def add(self, shard: int, update: npt.NDArray[Any]) -> None:
        """Add ``update`` to the values, inside the write section.

        Args:
            shard: the shard whose write section this rank is in.
            update: (length of the shard,), dtype of the window, host, unchanged.

        Collective: no.
        """
        if self.add_mechanism == ACCUMULATE:
            for start, stop in _pieces(self._lengths[shard], COUNT_LIMIT):
                self._accumulate(shard, start, update[start:stop])
        else:
            self._get_add_put(shard, update)

    def present_into(self, shard: int, out: npt.NDArray[Any]) -> None:
        """Fetch the present values, inside the write section.

        Args:
            shard: the shard whose write section this rank is in.
            out: (length of the shard,), dtype of the window, host, overwritten.

        Collective: no.
        """
        self._get_values(shard, out)

    def replace(self, shard: int, values: npt.NDArray[Any]) -> None:
        """Put ``values`` in place of the present ones, inside the write section.

        Args:
            shard: the shard whose write section this rank is in.
            values: (length of the shard,), dtype of the window, host, unchanged.

        Collective: no.
        """
        win = self._open()
        target, place = self._owners[shard], self._values[shard]
        for start, stop in _pieces(self._lengths[shard], COUNT_LIMIT):
            origin = [values[start:stop], stop - start, self._type]
            win.Put(origin, target, place + start * self.dtype.itemsize)
        win.Flush(target)

    def end_write(self, shard: int, version: int) -> int:
        """Leave the write section; return the written version, ``version + 1``.

        Args:
            shard: the shard whose write section this rank is in.
            version: what ``begin_write`` returned.

        Collective: no.
        """
        self._put_mark(shard, version + 1, version + 1, 0)
        self._lock.release(shard)
        return version + 1

    def start_from(self, shard: int, values: npt.NDArray[Any], version: int) -> None:
        """Set values and version of a shard before anyone uses it.

        Args:
            shard: a shard of this rank.
            values: (length of the shard,), dtype of the window, host, unchanged.
            version: >= 0.

        Collective: no.
        """
        self.replace(shard, values)
        self._put_mark(shard, version, version, 0)

    def add_in_section(self, shard: int, update: npt.NDArray[Any]) -> int:
        """Add ``update`` in a write section of its own; return the written version.

        Collective: no.
        """
        version = self.begin_write(shard)
        self.add(shard, update)
        return self.end_write(shard, version)

    def version(self, shard: int) -> int:
        """Return the version of ``shard`` without its values.

        Collective: no.
        """
        return self._get_mark(shard)[0]

    def close(self) -> None:
        """End the access epoch and free the memory; a second call does nothing.

        Collective: yes.
        """
        if self._win is not None:
            self._world.meet("the parameter window is closed")
            self._win.Unlock_all()
            self._win.Free()
            self._win = None

    def _open(self) -> MPI.Win:
        if self._win is None:
            message = "the parameter window is already closed"
            raise ClosedError(message)
        return self._win

    def _get_mark(self, shard: int) -> tuple[int, int]:
        win = self._open()
        target = self._owners[shard]
        win.Get(self._mark_spec, target, self._marks[shard])
        win.Flush(target)
        return int(self._mark[0]), int(self._mark[BEGUN - VERSION])

    def _put_mark(self, shard: int, version: int, begun: int, holder: int) -> None:
        mark = self._mark
        mark[0] = version
        mark[BEGUN - VERSION] = begun
        mark[HOLDER - VERSION] = holder
        mark[SINCE - VERSION] = time.time_ns()
        win = self._open()
        target = self._owners[shard]
        win.Put(self._mark_spec, target, self._marks[shard])
        win.Flush(target)

    def _get_values(self, shard: int, out: npt.NDArray[Any]) -> None:
        for start, stop in _pieces(self._lengths[shard], COUNT_LIMIT):
            self._get_piece(shard, start, out[start:stop])

    def _get_piece(self, shard: int, start: int, out: npt.NDArray[Any]) -> None:
        win = self._open()
        target = self._owners[shard]
        place = self._values[shard] + start * self.dtype.itemsize
        win.Get([out, out.size, self._type], target, place)
        win.Flush(target)

    def _accumulate(self, shard: int, start: int, update: npt.NDArray[Any]) -> None:
        win = self._open()
        target = self._owners[shard]
        place = self._values[shard] + start * self.dtype.itemsize
        win.Accumulate([update, update.size, self._type], target, place, MPI.SUM)
        win.Flush(target)

    def _get_add_put(self, shard: int, update: npt.NDArray[Any]) -> None:
        win = self._open()
        target = self._owners[shard]
        for start, stop in _pieces(self._lengths[shard], self._piece.size):
            piece = self._piece[: stop - start]
            place = self._values[shard] + start * self.dtype.itemsize
            spec = [piece, stop - start, self._type]
            win.Get(spec, target, place)
            win.Flush(target)
            np.add(piece, update[start:stop], out=piece)
            win.Put(spec, target, place)
            win.Flush(target)

    def _read_locked(self, shard: int, fetch: Callable[[], None]) -> int:
        self._lock.acquire(shard)
        version, _ = self._get_mark(shard)
        self._put_mark(shard, version, version, self._world.rank + 1)
        fetch()
        self._put_mark(shard, version, version, 0)
        self._lock.release(shard)
        return version

    def _describe_holder(self, shard: int) -> str:
        self._get_mark(shard)
        holder = int(self._mark[HOLDER - VERSION]) - 1
        rank, owner = self._world.rank, self._owners[shard]
        if holder < 0:
            return f"rank {rank} queues for shard {shard} of rank {owner}, whose lock changes hands"
        held_s = max(0.0, (time.time_ns() - int(self._mark[SINCE - VERSION])) / 1e9)
        return (
            f"rank {rank} waits for {self._world.named(holder)}, "
            f"which holds shard {shard} of rank {owner} "
            f"for {held_s:.1f} s"
        )


def _pieces(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut ``length`` into (start, stop) ranges of at most ``most``."""
    for start in range(0, length, most):
        yield start, min(start + most, length)
