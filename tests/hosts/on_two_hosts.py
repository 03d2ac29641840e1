"""Run by every rank on two hosts: trains in each mode, then times a read from a busy owner."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from mpitrain.comm.probe import WindowProbe
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World, all_stop_when_one_fails
from mpitrain.config import from_mapping
from mpitrain.core.shards import Shards
from mpitrain.running.lives import run_training

MODES = {"bsp": {"kind": "bsp"}, "ssp": {"kind": "ssp", "bound": 3}, "asp": {"kind": "asp"}}
BUSY_S = 1.5


def busy_read_s(world: World) -> tuple[float, str]:
    """Return how long rank 0 reads a shard of the last rank, busy outside MPI, and the remedy."""
    window = ParameterWindow(world, Shards(40_000, 4, world.size), "float32", world.patience)
    probe = WindowProbe(world, window)
    findings = probe.run("auto")
    out = np.zeros(10_000, np.float32)
    world.meet("the owner becomes busy")
    began = time.perf_counter()
    if world.rank == world.size - 1:
        matrix = np.ones((300, 300))
        while time.perf_counter() < began + BUSY_S:
            matrix @ matrix
    elif world.is_root:
        time.sleep(0.3)
        began = time.perf_counter()
        window.read_into(3, out)
    taken_s = time.perf_counter() - began
    window.close()
    probe.close()
    return taken_s, findings.progress


def main() -> None:
    """Train, time, and print one JSON line on rank 0."""
    world = World()
    with all_stop_when_one_fails(world):
        results = {}
        for name, mode in MODES.items():
            settings = {
                "run": {"data_passes": 2.0, "directory": f"{sys.argv[1]}/{name}"},
                "mode": {**mode, "limit_s": 60.0},
            }
            results[name] = run_training(world, from_mapping(settings)).facts
        taken_s, remedy = busy_read_s(world)
        if world.is_root:
            facts = {
                "hosts": sorted(set(world.hosts)),
                "read_s": taken_s,
                "remedy": remedy,
                "results": results,
            }
            sys.stdout.write(json.dumps(facts) + "\n")
        world.close()


main()
