"""The sum of all ranks' gradients by their devices, through memory that all of them reach.

The vector is cut into one part for each rank. A rank puts the parts of the others into its shared
vector; everybody takes his own part of all the others', adds them on the device in the order of
core/tree.py, and puts the sum into his own shared vector, from where all take it. So a byte crosses
the bus once down and twice up, and no processor touches it.

Who writes: a rank its own shared vector, nobody else. What orders it, in a step with two meetings:

    the parts of the others, signals   written before the first, read between the two
    the rank's own part, the sum       written between the two, read before the first of the next

So nothing is overwritten that is still to be read, at whatever pace ranks go.
"""

from __future__ import annotations

import numpy as np

from mpitrain.comm.shared_vectors import SharedVectors
from mpitrain.core.arrays import Array
from mpitrain.core.errors import ClosedError
from mpitrain.core.tree import tree_pairs
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.devices.in_place import InPlace
from mpitrain.kernels.twins import Twin
from mpitrain.modes.gradient_sum import IN_PLACE
from mpitrain.modes.message import NUM_SIGNALS


class InPlaceSum:
    """See the module's exposition and GradientSum; not with one rank."""

    text = IN_PLACE

    def __init__(self, rank: int, shared: SharedVectors, bus: InPlace, twin: Twin) -> None:
        """Allocate what is on the device and prepare all copies.

        Args:
            rank: this rank.
            shared: (n + NUM_SIGNALS,) for each rank; closed with this.
            bus: locks them; closed with this.
            twin: of the device.
        """
        vectors, num = shared.vectors, len(shared.vectors)
        size, dtype = vectors[0].size - NUM_SIGNALS, vectors[0].dtype
        self.gradient: Array = twin.xp.zeros(size, dtype)
        self.signals = np.zeros(NUM_SIGNALS, dtype)
        self._shared, self._bus, self._twin, self._rank = shared, bus, twin, rank
        self._is_closed = False
        gradient = self.gradient
        parts = [slice(q * size // num, (q + 1) * size // num) for q in range(num)]
        mine, length = parts[rank], parts[rank].stop - parts[rank].start
        others = [(rank + step) % num for step in range(1, num)]  # so that no one is flooded
        inbox = {q: twin.xp.zeros(length, dtype) for q in others}
        given = [gradient[mine] if q == rank else inbox[q] for q in range(num)]
        self._put = [bus.send(vectors[rank][parts[q]], gradient[parts[q]]) for q in others]
        self._take = [bus.fetch(inbox[q], vectors[q][mine]) for q in others]
        pairs = tree_pairs(num)
        self._adds = [twin.addition(given[into], given[source]) for into, source in pairs]
        self._put_sum = [bus.send(vectors[rank][mine], given[0])]
        if rank:  # the sum is in the first rank's contribution
            self._put_sum.append(bus.within(gradient[mine], given[0]))
        self._take_sums = [bus.fetch(gradient[parts[q]], vectors[q][parts[q]]) for q in others]
        self._signals = [vector[size:] for vector in vectors]

    def sum_in_place(self) -> None:
        """See GradientSum."""
        if self._is_closed:
            message = "the sum of gradients is already closed"
            raise ClosedError(message)
        self._bus.run(self._put)
        np.copyto(self._signals[self._rank], self.signals)
        self._publish("all gradients are in shared memory")
        self._bus.run(self._take)
        for add in self._adds:
            add({})
        self._bus.run(self._put_sum)
        self.signals.fill(0)
        for signals in self._signals:
            np.add(self.signals, signals, out=self.signals)
        self._publish("all sums are in shared memory")
        self._bus.run(self._take_sums)

    def watch(self, watch: CopyWatch) -> None:
        """See GradientSum."""
        self._bus.watch = watch

    def close(self) -> None:
        """See GradientSum."""
        self._is_closed = True
        self._twin.wait()
        self._bus.close()
        self._shared.close()

    def _publish(self, purpose: str) -> None:
        self._twin.wait()
        self._shared.publish(purpose)
