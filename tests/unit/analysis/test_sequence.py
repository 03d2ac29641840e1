"""Sequences over ranks: complete, lost, doubled, or not written yet."""

from __future__ import annotations

import numpy as np

from mpitrain.analysis.sequence import Place, judge_sequence


def judge(*ranks: list[int], first: int = 1, open_from: int | None = None):  # noqa: ANN201
    """Judge the numbers of some ranks."""
    numbers = {rank: np.array(own, np.int64) for rank, own in enumerate(ranks)}
    return judge_sequence(numbers, first, open_from)


def test_a_permutation_is_complete() -> None:
    """Each number once, whoever has it; none at all is complete too."""
    for sequence in (judge([1, 4], [2, 3]), judge([0], [1], first=0), judge([], [])):
        assert sequence.doubled + sequence.lost + sequence.too_small == []
    assert judge([1, 4], [2, 3]).num_complete == 4


def test_gaps_are_lost_when_no_log_is_open() -> None:
    """The row of the next number is told, and the prefix before the first gap."""
    sequence = judge([1, 7], [2, 4])
    assert sequence.lost == [(3, 3, Place(1, 1)), (5, 6, Place(0, 1))]
    assert (sequence.num_complete, sequence.num_total) == (2, 4)
    assert judge([2, 3]).lost == [(1, 1, Place(0, 0))]
    assert judge([2, 3]).num_complete == 0


def test_gaps_beyond_the_last_number_of_an_open_log_are_not_lost() -> None:
    """Only what every open log has gone past can no longer be written."""
    assert judge([1, 7], [2, 4], open_from=4).lost == [(3, 3, Place(1, 1))]
    assert judge([1, 7], [2, 4], open_from=2).lost == []
    assert judge([1, 7], [2, 4], open_from=0).num_complete == 2


def test_doubled_and_too_small_numbers_are_told_with_their_rows() -> None:
    """Both rows of a doubled number are named."""
    sequence = judge([0, 1, 2], [2, 3])
    assert sequence.too_small == [(0, Place(0, 0))]
    assert sequence.doubled == [(2, Place(0, 2), Place(1, 0)), (2, Place(1, 0), Place(0, 2))]
    assert (sequence.num_complete, sequence.num_total, sequence.lost) == (3, 3, [])
