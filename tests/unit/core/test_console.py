from __future__ import annotations

import pytest

from mpitrain.core.console import counted, size_text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (64 << 20, "64.0 MiB"), (3 << 50, "3072.0 TiB")],
)
def test_size_has_a_unit(num_bytes: int, text: str) -> None:
    """Sizes are read in powers of 1024."""
    assert size_text(num_bytes) == text


def test_one_is_not_plural() -> None:
    """1 rank, 2 ranks."""
    assert [counted(number, "rank") for number in (1, 2)] == ["1 rank", "2 ranks"]
