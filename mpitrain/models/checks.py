"""Checks that every model makes of its sizes, and whether something is a model at all."""

from __future__ import annotations

from typing import Any

from mpitrain.core.errors import UserError
from mpitrain.core.layout import Layout

_METHODS = ("init", "loss_and_gradient", "evaluate")


def check_sizes(**sizes: int) -> None:
    """Check that every size is at least 1.

    Args:
        sizes: by the name that the error message gives, after "model.".

    Raises:
        UserError: one is not.
    """
    for name, size in sizes.items():
        if size < 1:
            msg = f"model.{name} must be >= 1, got {size}"
            raise UserError(msg)


def check_is_model(model: Any, what: str) -> None:
    """Check that an object of the user's offers what ``models.model.Model`` says.

    Args:
        model: any object.
        what: named first in the error message, for example "model.kind = 'mine:make'".

    Raises:
        UserError: it does not; names what is missing.
    """
    kind = type(model).__name__
    missing = [name for name in _METHODS if not callable(getattr(model, name, None))]
    if missing:
        methods = ", ".join(f"{name}()" for name in missing)
        msg = f"{what} must be a model, got {kind} without {methods}; see mpitrain.models.model"
        raise UserError(msg)
    if not isinstance(getattr(model, "layout", None), Layout):
        msg = f"{what} must be a model with a mpitrain.core.layout.Layout as layout, got {kind}"
        raise UserError(msg)
    if not isinstance(getattr(model, "metric_name", None), str):
        msg = f"{what} must be a model with a text as metric_name, got {kind}"
        raise UserError(msg)
