"""From a ticket to a batch, in memory that is allocated once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.core.batch import Batch
from mpitrain.core.batches import BatchOrder
from mpitrain.data.source import Source


class Loader:
    """Fills one batch after another from a source."""

    def __init__(self, source: Source, order: BatchOrder, dtype: npt.DTypeLike, ahead: int) -> None:
        """Allocate the largest batch.

        Args:
            source: the training samples.
            order: which samples a ticket stands for.
            dtype: of the samples given to the model.
            ahead: how many tickets later this rank's next batch is likely to be: hint for prefetch.
        """
        self._source = source
        self._order = order
        self._ahead = ahead
        most = min(order.batch_size, source.num_samples)
        self._x = np.empty((most, *source.sample_shape), dtype)
        self._y = np.empty(most, np.int64)
        self._full = Batch(self._x, self._y)

    def load(self, ticket: int) -> Batch:
        """Return the batch of ``ticket``; it is valid until the next call."""
        samples = self._order.samples(ticket)
        num = samples.size
        batch = self._full if num == len(self._y) else Batch(self._x[:num], self._y[:num])
        self._source.gather_into(samples, batch.x, batch.y)
        if self._source.block > 1:
            self._source.prefetch(self._order.samples(ticket + self._ahead))
        return batch
