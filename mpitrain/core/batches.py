"""Which samples a ticket stands for: a pure function of seed, sizes and the ticket number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import UserError
from mpitrain.core.seeds import generator

Samples = npt.NDArray[np.int64]

BLOCKS_PER_GROUP = 16  # blocks whose samples are mixed: bounds how many chunks are open at a time


def num_tickets(num_samples: int, batch_size: int) -> int:
    """Return the number of mini-batches in one data pass; the last one may be short."""
    return -(-num_samples // batch_size)


def permutation(seed: int, data_pass: int, num_samples: int, block: int = 1) -> Samples:
    """Return the order in which a data pass visits the samples, each exactly once.

    With ``block`` > 1 blocks of consecutive samples are permuted, then samples are permuted within
    groups of 16 blocks that follow each other: a chunked file is read a few chunks at a time.

    Args:
        seed: of the run.
        data_pass: number of the pass, from 0.
        num_samples: N.
        block: samples per chunk of the source, >= 1.

    Returns:
        (N,), int64, host, a new array.
    """
    random = generator(seed, "permutation", data_pass)
    if block == 1:
        return random.permutation(num_samples).astype(np.int64, copy=False)
    blocks = random.permutation(num_tickets(num_samples, block))
    groups = [
        _samples_of(blocks[first : first + BLOCKS_PER_GROUP], block, num_samples)
        for first in range(0, len(blocks), BLOCKS_PER_GROUP)
    ]
    for group in groups:
        random.shuffle(group)
    return np.concatenate(groups) if groups else np.empty(0, np.int64)


def _samples_of(blocks: Samples, block: int, num_samples: int) -> Samples:
    """Return the samples of some blocks, block after block; the file's last may be short."""
    samples = (blocks[:, np.newaxis] * block + np.arange(block)).ravel()
    return samples[samples < num_samples].astype(np.int64, copy=False)


class BatchOrder:
    """From tickets to samples; remembers the permutations of the two passes used last."""

    def __init__(self, seed: int, batch_size: int, num_samples: int, block: int = 1) -> None:
        """Deal ``num_samples`` samples into tickets.

        Args:
            seed: of the run.
            batch_size: samples per ticket, >= 1.
            num_samples: N, >= 1.
            block: samples per chunk of the source, >= 1.

        Raises:
            UserError: a size is below 1.
        """
        for name, value in (("batch_size", batch_size), ("num_samples", num_samples)):
            if value < 1:
                msg = f"data.{name} must be >= 1, got {value}"
                raise UserError(msg)
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.num_tickets = num_tickets(num_samples, batch_size)
        self._seed = seed
        self._block = block
        self._passes: dict[int, Samples] = {}

    def samples(self, ticket: int) -> Samples:
        """Return the samples of one mini-batch.

        Args:
            ticket: number of the mini-batch, >= 0; tickets go on over data passes.

        Returns:
            (<= batch_size,), int64, host, a read-only view.
        """
        data_pass, index = divmod(ticket, self.num_tickets)
        start = index * self.batch_size
        return self._permutation(data_pass)[start : start + self.batch_size]

    def num_samples_of(self, ticket: int) -> int:
        """Return the number of samples of one mini-batch, without looking at any."""
        start = ticket % self.num_tickets * self.batch_size
        return min(self.batch_size, self.num_samples - start)

    def num_samples_before(self, ticket: int) -> int:
        """Return the number of samples of all mini-batches with smaller tickets."""
        data_passes, index = divmod(ticket, self.num_tickets)
        return data_passes * self.num_samples + index * self.batch_size

    def _permutation(self, data_pass: int) -> Samples:
        order = self._passes.pop(data_pass, None)
        if order is None:
            order = permutation(self._seed, data_pass, self.num_samples, self._block)
            order.flags.writeable = False
        self._passes[data_pass] = order  # the most recent is last
        if len(self._passes) > 2:
            del self._passes[next(iter(self._passes))]
        return order
