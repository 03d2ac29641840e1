"""How parameters come from the window to where the update runs, and changes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from mpitrain.comm.window import ParameterWindow
from mpitrain.core.arrays import Array
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.devices.in_place import InPlace
from mpitrain.devices.transfer import transfer_of
from mpitrain.kernels.kernel import Run
from mpitrain.modes.gradient_sum import IN_PLACE, NONE, STAGED
from mpitrain.modes.present import Present, places_of
from mpitrain.modes.update import Update


class Route(Protocol):
    """The way between a window and an update, shard by shard.

    Attributes:
        text: what logs say of it; NONE without a device.
    """

    text: str

    def read(self, shard: int) -> int:
        """Bring one consistent snapshot of a shard to the update's parameters, or on its way.

        Returns:
            its version.
        """

    def send(self, walk: Iterable[int]) -> None:
        """Set out with the changes of all shards, if they are final."""

    def await_change(self, shard: int) -> None:
        """Wait for what can be waited for before the write section begins."""

    def present(self, shard: int) -> Array:
        """Return the present values where the update is, inside the write section."""

    def add(self, shard: int) -> None:
        """Add the change of a shard, inside the write section; it is there on return."""

    def watch(self, watch: CopyWatch) -> None:
        """Let ``watch`` be told of all copies from now on."""

    def close(self) -> None:
        """Wait for what is under way; a second call does nothing."""


class Staged:
    """Through host memory of this rank; without a device it is the update's own."""

    def __init__(self, window: ParameterWindow, update: Update) -> None:
        parts = [window.shards.slice(shard) for shard in range(window.shards.count)]
        xp = update.twin.xp
        self._window, self._update = window, update
        self._parameters = transfer_of(xp, update.parameters, parts)
        self._changes = transfer_of(xp, update.change, parts)
        self._present = Present(update, parts) if update.needs_present else None
        present = [] if self._present is None else [self._present.transfer]
        self._transfers = [self._parameters, self._changes, *present]
        self.text = NONE if self._parameters.host is update.parameters else STAGED

    def read(self, shard: int) -> int:
        """Read it, and send it up while the next one is read; see Route."""
        version = self._window.read_into(shard, self._parameters.on_host(shard))
        self._parameters.upload(shard)
        return version

    def send(self, walk: Iterable[int]) -> None:
        """Enqueue all copies; see Route."""
        if self._update.is_final:
            self._changes.download(walk)

    def await_change(self, shard: int) -> None:
        """Wait for a copy; see Route."""
        if self._update.is_final:
            self._changes.on_host(shard)

    def present(self, shard: int) -> Array:
        """Fetch and upload them; see Route."""
        assert self._present is not None
        self._window.present_into(shard, self._present.on_host(shard))
        return self._present.uploaded(shard)

    def add(self, shard: int) -> None:
        """Add on the host; see Route."""
        if not self._update.is_final:
            self._changes.download((shard,))
        self._window.add(shard, self._changes.on_host(shard))

    def watch(self, watch: CopyWatch) -> None:
        """See Route."""
        for transfer in self._transfers:
            transfer.watch = watch

    def close(self) -> None:
        """See Route."""
        for transfer in self._transfers:
            transfer.close()


class Direct:
    """By the device itself, in the memory of a shared window.

    A read is one copy over the bus. A change is added by a kernel that reads and writes the window
    over the bus, with the bits of an addition on the host.
    """

    text = IN_PLACE

    def __init__(self, window: ParameterWindow, update: Update, bus: InPlace) -> None:
        """Prepare all copies and additions.

        Args:
            window: shared.
            update: on a device.
            bus: locks the window's memory; closed with this.
        """
        self._window, self._twin, self._bus = window, update.twin, bus
        memory = [window.memory_of(shard) for shard in range(window.shards.count)]
        adds = map(self._twin.addition, map(bus.array, memory), update.change_of)
        self._fetches = list(map(bus.fetch, update.parameters_of, memory))
        self._adds = [bus.write(*pair) for pair in zip(memory, map(_thunk, adds), strict=True)]
        self._presents = _room_for_shards(window, update) if update.needs_present else []
        self._looks = list(map(bus.fetch, self._presents, memory))
        self._is_computing = False

    def read(self, shard: int) -> int:
        """Copy it and wait; see Route."""
        return self._window.read_by(shard, lambda: self._fetch(shard))

    def send(self, walk: Iterable[int]) -> None:
        """They are being computed, and nothing moves yet; see Route."""
        self._is_computing = True

    def await_change(self, shard: int) -> None:
        """Wait for the update, once for all shards; see Route."""
        if self._is_computing:
            self._twin.wait()
            self._is_computing = False

    def present(self, shard: int) -> Array:
        """Enqueue a copy; see Route."""
        self._bus.run((self._looks[shard],))
        return self._presents[shard]

    def add(self, shard: int) -> None:
        """Run the addition and wait for it; see Route."""
        self._bus.run((self._adds[shard],))
        self._twin.wait()

    def watch(self, watch: CopyWatch) -> None:
        """An addition counts as a copy down; see Route."""
        self._bus.watch = watch

    def close(self) -> None:
        """See Route."""
        self._twin.wait()
        self._bus.close()

    def _fetch(self, shard: int) -> None:
        self._bus.run((self._fetches[shard],))
        self._twin.wait()


def _thunk(run: Run) -> Callable[[], None]:
    return lambda: run({})


def _room_for_shards(window: ParameterWindow, update: Update) -> list[Array]:
    """Return memory beside the update for each shard, all the same."""
    parts = [window.shards.slice(shard) for shard in range(window.shards.count)]
    size, places = places_of(parts, window.dtype.itemsize)
    vector = update.twin.xp.zeros(size, window.dtype)
    return [vector[place] for place in places]
