from __future__ import annotations

from mpitrain.core.errors import (
    ClosedError,
    LogError,
    MpitrainError,
    StallError,
    UserError,
    reason,
    unknown,
)


def test_unknown_lists_the_valid_names_in_order() -> None:
    """The message shows what was written and every name that would do."""
    error = unknown("mode", "sspp", {"ssp", "asp", "bsp"})
    assert isinstance(error, UserError)
    assert str(error) == "unknown mode 'sspp'; choose from: asp, bsp, ssp"


def test_errors_can_be_caught_together() -> None:
    """All errors are MpitrainErrors; a user's mistake is a ValueError as well."""
    for kind in (UserError, StallError, ClosedError, LogError):
        assert issubclass(kind, MpitrainError)
    assert issubclass(UserError, ValueError)


def test_reason_is_the_systems_words_in_one_short_line() -> None:
    """Without number and path, which the message has; else those of the error, or its kind."""
    assert reason(OSError(30, "Read-only file system", "/a")) == "read-only file system"
    assert reason(OSError("two\nlines")) == "two lines"
    assert reason(KeyError("name")) == "name"
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 999))) == 300
