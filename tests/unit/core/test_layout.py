from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.core.layout import Layout

SHAPES = {"w1": (3, 4), "b1": (4,), "scale": (), "w2": (4, 2)}


def test_layout_places_parameters_one_after_the_other() -> None:
    """Offsets are the running sums of the lengths; a scalar has length one."""
    layout = Layout.of(SHAPES, "float32")
    assert layout.names == ("w1", "b1", "scale", "w2")
    assert layout.offsets == (0, 12, 16, 17)
    assert layout.lengths == (12, 4, 1, 8)
    assert layout.size == 25
    assert layout.dtype == np.dtype("float32")


def test_layout_views_share_memory_in_c_order() -> None:
    """The views are the flat vector itself, read in C order."""
    layout = Layout.of(SHAPES, "float64")
    flat = np.arange(25.0)
    views = layout.views(flat)
    np.testing.assert_array_equal(views["w1"], np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(views["w2"], np.arange(17.0, 25.0).reshape(4, 2))
    views["b1"][2] = -1
    views["scale"][...] = -2
    assert flat[14] == -1
    assert flat[16] == -2
    assert all(np.shares_memory(view, flat) for view in views.values())


def test_layout_views_refuse_a_vector_of_another_size() -> None:
    """The error names the expected and the found shape."""
    with pytest.raises(UserError, match=r"must have shape \(25,\), got \(24,\)"):
        Layout.of(SHAPES, "float64").views(np.zeros(24))


def test_layout_may_be_empty() -> None:
    """No parameters make an empty vector."""
    layout = Layout.of({}, "float32")
    assert layout.size == 0
    assert layout.offsets == ()
    assert layout.views(np.zeros(0)) == {}


def test_layout_equals_another_with_the_same_parameters() -> None:
    """Layouts are values."""
    assert Layout.of(SHAPES, "float32") == Layout.of(SHAPES, np.float32)
    assert Layout.of(SHAPES, "float32") != Layout.of(SHAPES, "float64")


@pytest.mark.parametrize(
    ("names", "shapes", "message"),
    [
        (("a", "b"), ((1,),), "2 names but 1 shapes"),
        (("a", "a"), ((1,), (2,)), "names must differ, got a, a"),
    ],
)
def test_layout_refuses_names_that_do_not_fit(
    names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], message: str
) -> None:
    """Every parameter has one shape and a name of its own."""
    with pytest.raises(UserError, match=message):
        Layout(names, shapes, np.dtype("float32"))
