"""``python -m mpitrain``: listens to stop signals first, as their default action ends a rank."""

from __future__ import annotations

import sys

from mpitrain.stop import COMMAND_LINE, EARLY_SIGNALS


def main() -> int:
    """Run the command line; return the exit code."""
    if sys.argv[1:2] in (["train"], ["resume"]):
        COMMAND_LINE.listen(EARLY_SIGNALS)
    from mpitrain.command_line import main as run  # takes a while

    return run()


if __name__ == "__main__":
    sys.exit(main())
