"""What do more ranks gain? ``python tools/scaling.py RUNDIR... [--json]``; needs no MPI."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from mpitrain.analyse.scaling import TOOL
from mpitrain.analyse.tool import main

if __name__ == "__main__":
    sys.exit(main(TOOL))
