"""What an exact read and write of the whole vector cost, beside one copy and one add of its bytes.

Every rank does the same at the same time, so memory bandwidth is shared alike: the floor is
``np.copyto`` and ``np.add`` on private arrays, all ranks at once. Run it under the launcher:
``python -m mpitrain launch -n 2 bench window``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mpitrain.comm.probe import WindowProbe
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.core.shards import Shards

SIZES_BYTES = {"16 KiB": 16 << 10, "1 MiB": 1 << 20, "16 MiB": 16 << 20, "64 MiB": 64 << 20}
ROUNDS = 5
MOVED_BYTES = 256 << 20  # per timing: enough rounds that small sizes are timed too
MOST_REPEATS = 2000


def measure(world: World, shards: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield one row per size: microseconds of read, write, copy, add, and the ratio.

    Args:
        world: the ranks.
        shards: number of shards; default one per rank.

    Collective: yes.
    """
    for name, size_bytes in SIZES_BYTES.items():
        yield {"size": name, "ranks": world.size, **_measure_size(world, size_bytes // 4, shards)}


def _measure_size(world: World, num: int, count: int | None) -> dict[str, Any]:
    shards = Shards(num, count or world.size, world.size)
    window = ParameterWindow(world, shards, np.float32, world.patience)
    probe = WindowProbe(world, window)
    findings = probe.run("auto")
    vector, update = np.zeros(num, np.float32), np.full(num, 1e-3, np.float32)
    own, other = np.zeros(num, np.float32), np.zeros(num, np.float32)
    walk = [
        (world.rank * shards.count // world.size + k) % shards.count for k in range(shards.count)
    ]
    parts = {k: (vector[shards.slice(k)], update[shards.slice(k)]) for k in walk}

    def read() -> None:
        for k in walk:
            window.read_into(k, parts[k][0])

    def write() -> None:
        for k in walk:
            window.add_in_section(k, parts[k][1])

    def read_write() -> None:
        read()
        write()

    def copy_add() -> None:
        np.copyto(vector, own)
        np.add(other, update, out=other)

    actions = {
        "read_us": read,
        "write_us": write,
        "read_write_us": read_write,
        "copy_add_us": copy_add,
    }
    repeats = max(3, min(MOST_REPEATS, MOVED_BYTES // (4 * num)))
    times = {name: [] for name in actions}  # type: dict[str, list[float]]
    for _ in range(ROUNDS):
        for name, action in actions.items():
            times[name].append(_time(world, action, repeats))
    medians = {name: statistics.median(values) * 1e6 for name, values in times.items()}
    window.close()
    probe.close()
    ratio = medians["read_write_us"] / medians["copy_add_us"]
    return {**medians, "ratio": ratio, "shards": shards.count, "add": findings.add_mechanism}


def _time(world: World, action: Callable[[], None], repeats: int) -> float:
    """Return seconds per call, the mean over the ranks, all working at once."""
    action()
    world.meet("all ranks measure")
    began = time.perf_counter()
    for _ in range(repeats):
        action()
    taken_s = (time.perf_counter() - began) / repeats
    return statistics.mean(world.gather_obj(taken_s))
