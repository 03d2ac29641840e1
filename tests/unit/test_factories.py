"""What a user's own factory gives is checked before anything uses it."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import UserError
from mpitrain.core.layout import Layout
from mpitrain.data.source import ArraySource
from mpitrain.factories import checked_model, checked_source, made
from mpitrain.models.softmax import Softmax


def source() -> ArraySource:
    """Return four samples."""
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    return ArraySource(x, y, x, y)


def raising(*_: Any) -> None:
    """Fail, in two lines."""
    message = "two\nlines"
    raise KeyError(message)


def leaving(*_: Any) -> None:
    """Leave the program, which no rank may do alone."""
    sys.exit(3)


def test_object_of_the_right_kind_passes() -> None:
    """Those that come with the package."""
    model, data = Softmax(2, 2, "float32"), source()
    assert checked_model(model, "model") is model
    assert checked_source(data, "data") is data


def test_four_arrays_become_a_source() -> None:
    """The short way for data in memory; fewer are a mistake."""
    x, y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    assert checked_source((x, y, x[:2], y[:2]), "data").num_test == 2
    with pytest.raises(UserError, match=r"data must be .*got 2 arrays"):
        checked_source((x, y), "data")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_module:raising", "failed with KeyError"),
        ("own_module:leaving", "failed with SystemExit: 3"),
        ("own_module:none", "cannot be imported: module 'own_module' has no attribute 'none'"),
        ("own_module:text", "failed with TypeError: 'str' object is not callable"),
        ("no_such_module:x", "cannot be imported: No module named 'no_such_module'"),
        (":", "cannot be imported"),
        ("own_module:", "cannot be imported"),
    ],
)
def test_factory_that_fails_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    """Whatever it raises is the user's mistake."""
    module = types.ModuleType("own_module")
    module.__dict__.update(raising=raising, leaving=leaving, text="text")
    monkeypatch.setitem(sys.modules, "own_module", module)
    with pytest.raises(UserError) as caught:
        made("model.kind", name, None)
    assert str(caught.value).startswith(f"model.kind = {name!r} ")
    assert said in str(caught.value)


class Half(Softmax):
    """A model that lacks something, or has it wrong."""


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("init", None, "got Half without init()"),
        ("evaluate", 3, "got Half without evaluate()"),
        ("layout", {"w": (2, 2)}, "Layout as layout"),
        ("metric_name", None, "text as metric_name"),
    ],
)
def test_model_that_lacks_something_is_refused(attribute: str, value: Any, said: str) -> None:
    """Names what is missing."""
    model = Half(2, 2, "float32")
    assert isinstance(model.layout, Layout)
    setattr(model, attribute, value)
    with pytest.raises(UserError, match=r"model\.kind = 'x:y' must be a model") as caught:
        checked_model(model, "model.kind = 'x:y'")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("num_samples", 0, "num_samples must be an integer >= 1, got 0"),
        ("num_test", -1, "num_test must be an integer >= 0, got -1"),
        ("num_classes", 2.0, "num_classes must be an integer >= 1, got 2.0"),
        ("sample_shape", 2, "sample_shape must be a tuple of integers, got 2"),
        ("gather_into", None, "got ArraySource without gather_into()"),
        ("block", None, "got ArraySource without block"),
    ],
)
def test_source_that_lacks_something_is_refused(attribute: str, value: Any, said: str) -> None:
    """Names what is missing or wrong."""
    data = source()
    setattr(data, attribute, value)
    with pytest.raises(UserError, match="data") as caught:
        checked_source(data, "data")
    assert said in str(caught.value)


@pytest.mark.parametrize("thing", [None, 42, {"num_samples": 3}, Softmax])
def test_anything_else_is_neither(thing: Any) -> None:
    """No traceback from deep inside."""
    with pytest.raises(UserError):
        checked_source(thing, "data")
    with pytest.raises(UserError):
        checked_model(thing, "model")
