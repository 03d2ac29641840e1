"""From a ticket to a batch, in memory that is allocated once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.batch import Batch
from mpitrain.core.batches import BatchOrder
from mpitrain.data.source import Source
from mpitrain.devices.transfer import transfer_of


class Loader:
    """Fills one batch after another from a source."""

    def __init__(
        self,
        source: Source,
        order: BatchOrder,
        dtype: npt.DTypeLike,
        ahead: int,
        xp: Any = np,
    ) -> None:
        """Allocate the largest batch.

        Args:
            source: the training samples.
            order: which samples a ticket stands for.
            dtype: of the samples given to the model.
            ahead: how many tickets later this rank's next batch is likely to be: hint for prefetch.
            xp: array module of the batches given to the model.
        """
        self._source = source
        self._order = order
        self._ahead = ahead
        most = min(order.batch_size, source.num_samples)
        shape = most, *source.sample_shape
        x, y = xp.zeros(math.prod(shape), dtype), xp.zeros(most, np.int64)
        self._transfers = [transfer_of(xp, v, [slice(0, v.size)]) for v in (x, y)]
        self._gathered = Batch(*(transfer.host for transfer in self._transfers))
        self._gathered = self._gathered._replace(x=self._gathered.x.reshape(shape))
        self._given = Batch(x.reshape(shape), y)

    def load(self, ticket: int) -> Batch:
        """Return the batch of ``ticket``; it is valid until the next call."""
        samples = self._order.samples(ticket)
        num = samples.size
        for transfer in self._transfers:
            transfer.on_host(0)  # the batch before has gone up
        x, y = self._gathered if num == len(self._gathered.y) else _first(self._gathered, num)
        self._source.gather_into(samples, x, y)
        for transfer in self._transfers:
            transfer.upload(0)
        if self._source.block > 1:
            self._source.prefetch(self._order.samples(ticket + self._ahead))
        return self._given if num == len(self._given.y) else _first(self._given, num)


def _first(batch: Batch, num: int) -> Batch:
    return Batch(batch.x[:num], batch.y[:num])
