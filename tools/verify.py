"""Did the run keep its promises? ``python tools/verify.py RUNDIR [--json]``; needs no MPI."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from mpitrain.analyse.tool import main
from mpitrain.analyse.verify import TOOL

if __name__ == "__main__":
    sys.exit(main(TOOL))
