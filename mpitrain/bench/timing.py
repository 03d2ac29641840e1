"""Time of kernels beside a copy of as many bytes: the host's clock, or events of a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mpitrain.core.arrays import array_module

CPU_ROUNDS, CUDA_ROUNDS = 5, 15
CUDA_REPEATS = 6  # calls per timing: the device works on one while the next is prepared

Action = Callable[[], object]


class Copy:
    """Memory to copy as many bytes as a kernel moves."""

    def __init__(self, xp: Any, most_bytes: int) -> None:
        """Allocate for copies that read and write at most so many bytes together."""
        self._xp = xp
        self._source, self._target = (xp.ones(most_bytes // 8 + 1, np.float32) for _ in range(2))

    def of(self, num_bytes: int) -> Action:
        """Return a copy that reads and writes so many bytes together."""
        source, target = (array[: num_bytes // 8] for array in (self._source, self._target))
        return lambda: self._xp.copyto(target, source)


def row(times: dict[str, float], num_bytes: int) -> dict[str, Any]:
    """Return microseconds, the rate and the ratios of a kernel that must move so many bytes."""
    return {
        **{f"{name}_us": seconds * 1e6 for name, seconds in times.items()},
        "fused_gb_s": num_bytes / times["fused"] / 1e9,
        "of_copy": times["copy"] / times["fused"],
        "unfused_of_copy": times["copy"] / times["unfused"],
        "faster": times["unfused"] / times["fused"],
    }


def times_of(xp: Any, actions: dict[str, Action]) -> dict[str, float]:
    """Return the median seconds of each action; they take turns, now forwards, now backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for number in range(CPU_ROUNDS if xp is np else CUDA_ROUNDS):
        for name in sorted(actions, reverse=bool(number % 2)):
            timer = _cpu_seconds if xp is np else _cuda_seconds
            seconds[name].append(timer(actions[name]))
    return {name: statistics.median(values) for name, values in seconds.items()}


def _cpu_seconds(action: Action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _cuda_seconds(action: Action) -> float:
    cuda = array_module("cuda").cuda
    began, ended = cuda.Event(), cuda.Event()
    began.record()
    for _ in range(CUDA_REPEATS):
        action()
    ended.record()
    ended.synchronize()
    return float(cuda.get_elapsed_time(began, ended)) * 1e-3 / CUDA_REPEATS
