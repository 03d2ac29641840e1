"""``python -m mpitrain``: listens to stop signals first, as their default action ends a rank."""

from __future__ import annotations

import sys

from mpitrain.stop import COMMAND_LINE, EARLY_SIGNALS


def main() -> int:
    """Run the command line; return the exit code."""
    hears = sys.argv[1:2] in (["train"], ["resume"], ["launch"])
    if hears:
        COMMAND_LINE.listen(EARLY_SIGNALS)
    from mpitrain.command_line import main as run  # takes a while

    try:
        return run()
    finally:
        if hears:  # what comes now comes too late: MPI ends after the interpreter
            COMMAND_LINE.ignore()


if __name__ == "__main__":
    sys.exit(main())
