from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.models.softmax import Softmax


def test_softmax_layout_is_weights_then_bias() -> None:
    """The parameters are "w" (F, C) and "b" (C,)."""
    layout = Softmax(6, 4, "float32").layout
    assert dict(zip(layout.names, layout.shapes, strict=True)) == {"w": (6, 4), "b": (4,)}
    assert layout.dtype == np.float32


def test_softmax_starts_at_zero() -> None:
    """Whatever the seed, all parameters are zero."""
    flat = Softmax(6, 4, "float32").init(3)
    assert flat.dtype == np.float32
    np.testing.assert_array_equal(flat, np.zeros(28))


@pytest.mark.parametrize(("sizes", "name"), [((0, 4), "num_features"), ((6, 0), "num_classes")])
def test_softmax_refuses_empty_sizes(sizes: tuple[int, int], name: str) -> None:
    """The error names the size and its value."""
    with pytest.raises(UserError, match=rf"model\.{name} must be >= 1, got 0"):
        Softmax(*sizes, "float32")
