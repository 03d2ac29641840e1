"""What synchronous ranks send each other: the summed gradient, and signals beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.devices.page_locked import page_locked
from mpitrain.devices.transfer import DeviceTransfer, HostTransfer, Transfer, pieces
from mpitrain.kernels.twins import Twin

NUM_SIGNALS = 2
MEET, BAD = range(NUM_SIGNALS)  # places in ``signals``


class Message:
    """One vector on the host, cut into pieces that are reduced one after the other.

    On the host it is one piece. On a device the gradient is elsewhere, and while a piece is reduced
    the next ones come down; sums go up when all have come, while later pieces are reduced.

    Attributes:
        gradient: (n,), where the model writes it, host or device.
        signals: (2,), host: what ranks tell each other when gradients are reduced.
        vectors: the pieces on the host; the last has the signals at its end.
        transfer: of the gradient, piece by piece.
    """

    def __init__(self, size: int, dtype: npt.DTypeLike, twin: Twin) -> None:
        """Allocate.

        Args:
            size: n, elements of the gradient.
            dtype: of gradient and signals.
            twin: says where gradients are.
        """
        xp = twin.xp
        self.gradient: Array
        self.transfer: Transfer
        if xp is np:
            host, parts = np.zeros(size + NUM_SIGNALS, dtype), [slice(0, size)]
            self.gradient = host[:size]
            self.transfer = HostTransfer(self.gradient, parts)
        else:
            host = page_locked(xp, size + NUM_SIGNALS, dtype)
            parts = pieces(size, host.itemsize) or [slice(0, 0)]
            self.gradient = xp.zeros(size, dtype)
            self.transfer = DeviceTransfer(xp, self.gradient, host[:size], parts)
        self.signals: npt.NDArray[Any] = host[size:]
        ends = [*(part.stop for part in parts[:-1]), size + NUM_SIGNALS]
        self.vectors: Sequence[npt.NDArray[Any]] = [
            host[part.start : end] for part, end in zip(parts, ends, strict=True)
        ]
