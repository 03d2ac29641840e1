"""Bad samples are found before a run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.core.errors import UserError
from mpitrain.data.source import ArraySource
from mpitrain.running import data_check
from mpitrain.running.data_check import check_samples

NUM, SIZE = 50, 3


def source(spoil: Callable[[npt.NDArray[Any], npt.NDArray[Any]], None]) -> ArraySource:
    """Return 50 training and 50 test samples, the former spoilt."""
    x, y = np.ones((NUM, 4), np.float32), np.arange(NUM) % 5
    bad_x, bad_y = x.copy(), y.copy()
    spoil(bad_x, bad_y)
    return ArraySource(bad_x, bad_y, x, y)


def refusals(data: ArraySource) -> list[str]:
    """Return what the ranks say."""
    said = []
    for rank in range(SIZE):
        try:
            check_samples(data, np.float32, rank, SIZE)
        except UserError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("sample", [0, 17, NUM - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("piece_bytes", [1, 1 << 20])
def test_sample_that_is_not_finite_is_named_by_one_rank(
    monkeypatch: pytest.MonkeyPatch, sample: int, value: float, piece_bytes: int
) -> None:
    """The ranks together look at every sample once."""
    monkeypatch.setattr(data_check, "PIECE_BYTES", piece_bytes)

    def spoil(x: npt.NDArray[Any], _y: npt.NDArray[Any]) -> None:
        x[sample, 2] = value

    assert refusals(source(spoil)) == [
        f"the data: training sample {sample} holds {value}; features must be finite"
    ]


def test_good_data_pass() -> None:
    """Nobody says anything."""
    assert refusals(source(lambda _x, _y: None)) == []


def test_label_out_of_range_is_named() -> None:
    """A source of the user's own may not have looked."""
    data = source(lambda _x, _y: None)
    data.num_classes = 4
    assert refusals(data)[0] == (
        "the data: training sample 4 has label 4; labels must be in [0, 4)"
    )


def test_test_samples_are_looked_at_by_rank_0() -> None:
    """They decide the metric."""
    data = source(lambda _x, _y: None)
    data._x_test[7, 1] = np.nan
    assert refusals(data) == ["the data: test sample 7 holds nan; features must be finite"]


def test_large_data_are_looked_at_in_pieces_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit is read, up to the last third."""
    seen: list[int] = []
    data = source(lambda _x, _y: None)
    gather = data.gather_into
    monkeypatch.setattr(data_check, "PIECE_BYTES", 16)
    monkeypatch.setattr(data_check, "MOST_BYTES", 16 * 5)

    def recorded(samples: npt.NDArray[np.int64], x: Any, y: Any) -> None:
        seen.extend(samples.tolist())
        gather(samples, x, y)

    monkeypatch.setattr(data, "gather_into", recorded)
    check_samples(data, np.float32, 1, 2)
    assert len(seen) == 5
    assert min(seen) < NUM / 3
    assert max(seen) > NUM * 2 / 3
