"""For how long training stands still for a checkpoint, beside one memory copy of what is saved.

Real runs write a checkpoint every few steps; each tells how long it kept the ranks from going on,
from the moment when all had come. Run it under the launcher:
``python -m mpitrain launch -n 2 bench stop``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.running.lives import run_training
from mpitrain.storage.reading import open_log

HIDDEN = (4096, 2048)  # 8.7 million parameters, 33 MiB
NUM_CHECKPOINTS = 6
EVERY_STEPS = 20  # of each rank: time enough to write one before the next
ROUNDS = 9


def measure(world: World) -> Iterator[dict[str, Any]]:
    """Yield one row per mode: median seconds of the stop and of the copy, and the ratio.

    The copy is of as many bytes as the rank with the most to save copies, by all ranks at once.

    Collective: yes.
    """
    for mode in ("bsp", "ssp", "asp"):
        stops_s, num = _stops(world, mode)
        num_vectors = 3 if world.is_root or mode != "bsp" else 1  # parameters, two of adam
        copy_s = _time_of_copy(world, num * num_vectors)
        stop_s = statistics.median(stops_s)
        yield {
            "mode": mode,
            "ranks": world.size,
            "mib": num * 3 * 4 / 2**20,
            "stop_s": stop_s,
            "longest_stop_s": max(stops_s),
            "copy_s": copy_s,
            "ratio": stop_s / copy_s,
        }


def _stops(world: World, mode: str) -> tuple[list[float], int]:
    """Train with checkpoints; return the seconds of each stop and the number of parameters."""
    with tempfile.TemporaryDirectory(prefix="mpitrain-bench-", dir=Path.cwd()) as own:
        folder = world.from_root(lambda: own)
        config = from_mapping(
            {
                "run": {
                    "steps": world.size * EVERY_STEPS * NUM_CHECKPOINTS,
                    "directory": f"{folder}/run",
                    "progress_every_s": 1e6,
                },
                "data": {"batch_size": 1},
                "model": {"hidden": HIDDEN},
                "optimizer": {"kind": "adam", "rate": 1e-5},
                "mode": {"kind": mode},
                "checkpoint": {"every_steps": world.size * EVERY_STEPS, "keep": 1},
            }
        )
        result = run_training(world, config)
        num = sum(values.size for values in result.parameters.values())
        stops_s: list[float] = []
        if world.is_root:
            events = open_log(folder + "/run").lives[0].ranks[0].events
            told = [detail for _, kind, detail in events if kind == "checkpoint"]
            stops_s = [detail["stop_s"] for detail in told if "stop_s" in detail]
        return world.gather_obj(stops_s)[0], num


def _time_of_copy(world: World, num: int) -> float:
    """Return the median seconds of a copy by all ranks at once, of the slowest rank."""
    source, target = np.ones(num, np.float32), np.ones(num, np.float32)
    times: list[float] = []
    for _ in range(ROUNDS):
        world.meet("a copy is timed")
        began_s = time.perf_counter()
        np.copyto(target, source)
        times.append(max(world.gather_obj(time.perf_counter() - began_s)))
    return statistics.median(times)
