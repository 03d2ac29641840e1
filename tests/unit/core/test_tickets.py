from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.tickets import Deal


def test_new_deal_has_every_ticket() -> None:
    """Index and ticket are the same number."""
    deal = Deal()
    assert [deal.ticket(i) for i in range(4)] == [0, 1, 2, 3]
    assert deal.indices(np.array([0, 7])).tolist() == [0, 7]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_is_everything_else_in_order_however_often_it_is_dealt(seed: int) -> None:
    """Take random indices from deal after deal: no ticket comes twice, and none is left out."""
    random = np.random.default_rng(seed)
    deal, taken = Deal(), set[int]()
    for _ in range(4):
        indices = random.choice(30, random.integers(0, 20), replace=False).astype(np.int64)
        tickets = deal.tickets(indices)
        assert tickets.tolist() == [deal.ticket(int(i)) for i in indices]
        assert deal.indices(tickets).tolist() == indices.tolist()
        assert not taken & set(tickets.tolist())
        taken |= set(tickets.tolist())
        if taken:
            num = int(random.integers(0, 5))
            assert deal.skipped(num).tickets(np.arange(9)).tolist() == [
                deal.ticket(num + i) for i in range(9)
            ]
        deal = deal.without(indices)
        assert (deal.holes < deal.next).all()
        left = deal.tickets(np.arange(50))
        assert left.tolist() == [t for t in range(200) if t not in taken][:50]
        assert deal.indices(np.array(sorted(taken), np.int64)).tolist() == [-1] * len(taken)
