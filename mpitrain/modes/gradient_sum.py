"""The sum of all ranks' gradients, by way of each rank's own host memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy.typing as npt

from mpitrain.comm.reduction import Reduction
from mpitrain.core.arrays import Array
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.modes.message import Message

IN_PLACE, STAGED, NONE = "in place", "staged", "none"  # ways of a device to what ranks exchange


class GradientSum(Protocol):
    """Sums one vector, and signals beside it, over all ranks.

    Attributes:
        gradient: (n,), host or device, where the model writes it.
        signals: (NUM_SIGNALS,), host: what ranks tell each other when gradients are summed.
        text: what logs say of the way it takes; NONE without a device.
    """

    gradient: Array
    signals: npt.NDArray[Any]
    text: str

    def sum_in_place(self) -> None:
        """Replace gradient and signals by their sums, the same bits on every rank.

        Raises:
            StallError: a rank did not take part within the patience's limit.

        Collective: yes.
        """

    def watch(self, watch: CopyWatch) -> None:
        """Let ``watch`` be told of all copies from now on."""

    def close(self) -> None:
        """Free everything; a second call does nothing. Collective: yes."""


class StagedSum:
    """Piece by piece: while one is reduced, others come from the device or go there."""

    def __init__(self, message: Message, reductions: Sequence[Reduction]) -> None:
        """Take what is reduced.

        Args:
            message: the gradient on its way.
            reductions: one for each of its vectors.
        """
        self.gradient, self.signals = message.gradient, message.signals
        self.text = NONE if message.transfer.host is message.transfer.device else STAGED
        self._transfer, self._reductions = message.transfer, reductions

    def sum_in_place(self) -> None:
        """See GradientSum."""
        transfer, num = self._transfer, len(self._reductions)
        transfer.download(range(num))
        for piece, reduction in enumerate(self._reductions):
            transfer.on_host(piece)  # waits for it
            reduction.sum_in_place()
            transfer.upload(piece)

    def watch(self, watch: CopyWatch) -> None:
        """See GradientSum."""
        self._transfer.watch = watch

    def close(self) -> None:
        """See GradientSum."""
        self._transfer.close()
        for reduction in self._reductions:
            reduction.close()
