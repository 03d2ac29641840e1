from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.batches import BLOCKS_PER_GROUP, BatchOrder, num_tickets, permutation
from mpitrain.core.errors import UserError

SIZES = (1, 2, 7, 16, 97, 1000)
BLOCKS = (1, 2, 5, 16, 33)

RECORDED_FULL = [3, 0, 7, 6, 5, 2, 4, 8, 1, 9]
RECORDED_BLOCKS = [4, 9, 5, 0, 1, 6, 3, 2, 8, 7]


@pytest.mark.parametrize("num_samples", SIZES)
@pytest.mark.parametrize("block", BLOCKS)
def test_permutation_holds_every_sample_once(num_samples: int, block: int) -> None:
    """Whatever the sizes, a data pass visits each sample exactly once."""
    for data_pass in range(3):
        order = permutation(num_samples + block, data_pass, num_samples, block)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(num_samples))


def test_permutation_gives_the_recorded_order() -> None:
    """The order is part of every recorded run: it was recorded when the function was written."""
    assert permutation(3, 1, 10).tolist() == RECORDED_FULL
    assert permutation(3, 1, 10, block=3).tolist() == RECORDED_BLOCKS


@pytest.mark.parametrize("block", [1, 5])
def test_permutation_differs_between_passes_and_seeds(block: int) -> None:
    """Another pass or another seed gives another order; the same gives the same."""
    orders = {
        tuple(permutation(seed, data_pass, 200, block)) for seed in range(3) for data_pass in (0, 1)
    }
    assert len(orders) == 6
    np.testing.assert_array_equal(permutation(1, 1, 200, block), permutation(1, 1, 200, block))


def test_permutation_reads_few_blocks_at_a_time() -> None:
    """Every group of samples comes from 16 whole blocks, which are mixed and not in file order."""
    block, num_samples = 10, 1000
    order = permutation(0, 0, num_samples, block)
    groups = [order[i : i + BLOCKS_PER_GROUP * block] for i in range(0, num_samples, 160)]
    for group in groups:
        blocks, counts = np.unique(group // block, return_counts=True)
        assert len(blocks) == len(group) // block
        assert set(counts) == {block}
    first = groups[0] // block
    assert np.ptp(first) > 30  # blocks from all over the file
    assert len(set(first[:20])) > 8  # mixed, not block after block


def test_permutation_is_fair() -> None:
    """Each sample is equally likely to come first, with blocks and without."""
    for block in (1, 2):
        firsts = [permutation(seed, 0, 8, block)[0] for seed in range(800)]
        counts = np.bincount(firsts, minlength=8)
        assert counts.min() > 60
        assert counts.max() < 140


def test_num_tickets_counts_the_short_batch() -> None:
    """The last ticket of a pass may be short, but it is one."""
    assert [num_tickets(n, 4) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 8])
@pytest.mark.parametrize(("num_samples", "batch_size"), [(1, 1), (97, 10), (64, 8), (5, 9)])
@pytest.mark.parametrize("block", [1, 3])
def test_tickets_of_a_pass_hold_every_sample_once_on_any_number_of_ranks(
    num_ranks: int, num_samples: int, batch_size: int, block: int
) -> None:
    """The union over the ranks of a data pass's batches is the data set, no sample twice."""
    orders = [BatchOrder(4, batch_size, num_samples, block) for _ in range(num_ranks)]
    per_pass = orders[0].num_tickets
    for data_pass in range(3):
        tickets = range(data_pass * per_pass, (data_pass + 1) * per_pass)
        seen = [orders[ticket % num_ranks].samples(ticket) for ticket in tickets]
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(num_samples))


def test_batch_order_counts_samples_without_looking() -> None:
    """The number of samples is arithmetic, the same as the length of the batch."""
    order = BatchOrder(0, 10, 97)
    for ticket in range(25):
        assert order.num_samples_of(ticket) == len(order.samples(ticket))
    assert order.num_samples_of(9) == 7


def test_batch_order_follows_the_permutation() -> None:
    """Ticket i of a pass is the i-th part of that pass's permutation."""
    order = BatchOrder(6, 4, 10)
    np.testing.assert_array_equal(order.samples(3 + 1), permutation(6, 1, 10)[4:8])
    np.testing.assert_array_equal(order.samples(3 + 2), permutation(6, 1, 10)[8:])


def test_batch_order_remembers_two_passes() -> None:
    """Going back and forth over a pass boundary computes nothing anew; batches are views."""
    order = BatchOrder(0, 10, 20)
    before, after = order.samples(1), order.samples(2)
    for _ in range(3):
        assert np.shares_memory(order.samples(1), before)
        assert np.shares_memory(order.samples(2), after)
    order.samples(4)
    assert np.shares_memory(order.samples(2), after)
    assert not np.shares_memory(order.samples(1), before)


def test_batch_order_cannot_be_changed_through_a_batch() -> None:
    """Writing into a batch would change later passes: it is refused."""
    with pytest.raises(ValueError, match="read-only"):
        BatchOrder(0, 4, 10).samples(0)[0] = 3


@pytest.mark.parametrize(
    ("batch_size", "num_samples", "name"), [(0, 5, "batch_size"), (5, 0, "num_samples")]
)
def test_batch_order_refuses_empty_sizes(batch_size: int, num_samples: int, name: str) -> None:
    """The error names the setting and the value."""
    with pytest.raises(UserError, match=rf"data\.{name} must be >= 1, got 0"):
        BatchOrder(0, batch_size, num_samples)


def test_samples_before_a_ticket_are_those_of_all_smaller_ones() -> None:
    """Over data passes, whose last mini-batch is short."""
    order = BatchOrder(0, 4, 10)
    sizes = [order.num_samples_of(ticket) for ticket in range(9)]
    assert [order.num_samples_before(ticket) for ticket in range(10)] == [
        sum(sizes[:ticket]) for ticket in range(10)
    ]
