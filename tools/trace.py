"""A run for Perfetto: ``python tools/trace.py RUNDIR --out trace.json.gz``; needs no MPI."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a checkout that is not installed

from mpitrain.analyse.tool import main
from mpitrain.analyse.trace import TOOL

if __name__ == "__main__":
    sys.exit(main(TOOL))
