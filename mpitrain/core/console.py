"""Words for people on standard error, which may have gone away: that must not end a run."""

from __future__ import annotations

import os
import sys

TERMINAL_VARIABLE = "MPITRAIN_TERMINAL"  # "COLUMNSxLINES" of the launcher's terminal
_CLEAR_LINE = "\r\x1b[K"

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def tell(text: str) -> None:
    """Write ``text`` to standard error, if there is one.

    Where the ranks share a terminal, the bar that rank 0 may have drawn on this line gives way.
    """
    clear = _CLEAR_LINE if os.environ.get(TERMINAL_VARIABLE) else ""
    try:
        sys.stderr.write(clear + text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # closed, full, or never there
        pass


def counted(number: int, what: str) -> str:
    """Return a number of things, for example "1 rank" or "4 ranks"."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def size_text(num_bytes: int) -> str:
    """Return a size, for example "64.0 MiB"."""
    size, unit = float(num_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{num_bytes} B"
