"""The simulator against reality: what it predicts from the log of a run, beside that run.

Every run has late ranks (exponential sleeps of 5 ms on average), so that the modes differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.replaying.cluster import predicted_like
from mpitrain.running.lives import run_training
from mpitrain.storage.reading import open_log

STEPS = 2400
DELAY_S = 0.005
MODES: tuple[dict[str, Any], ...] = (
    {"kind": "bsp"},
    {"kind": "ssp", "bound": 1},
    {"kind": "ssp", "bound": 5},
    {"kind": "asp"},
)
SEEDS = (0, 1, 2)


def measure(world: World) -> Iterator[dict[str, Any]]:
    """Yield one row per mode and seed: live and predicted steps/s and mean staleness, and ratios.

    Collective: yes.
    """
    for mode in MODES:
        for seed in SEEDS:
            yield _measure(world, mode, seed)


def _measure(world: World, mode: dict[str, Any], seed: int) -> dict[str, Any]:
    root = Path(world.from_root(lambda: tempfile.mkdtemp(prefix="mpitrain-bench-")), "run")
    tables: dict[str, dict[str, Any]] = {
        "run": {"steps": STEPS, "seed": seed, "directory": str(root), "progress_every_s": 1e6},
        "mode": mode,
        "straggler": {"kind": "exponential", "delay": DELAY_S},
        "checkpoint": {"enabled": False},
    }
    run_training(world, from_mapping(tables))
    row: dict[str, Any] = {"mode": mode["kind"], "bound": mode.get("bound"), "seed": seed}
    if world.is_root:
        live, found = predicted_like(open_log(root), STEPS, seed)
        for name in ("steps_per_s", "staleness_mean"):
            row |= {f"{name}_live": live[name], f"{name}_predicted": found[name]}
            row[f"{name}_ratio"] = found[name] / live[name] if live[name] else np.nan
    return row
