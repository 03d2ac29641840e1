"""Checks that every model makes of its sizes."""

from __future__ import annotations

from mpitrain.core.errors import UserError


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
