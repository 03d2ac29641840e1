"""Words for people on standard error, which may have gone away: that must not end a run."""

from __future__ import annotations

import sys


def tell(text: str) -> None:
    """Write ``text`` to standard error, if there is one."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed, full, or never there
        pass
