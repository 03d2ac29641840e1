"""What writing a checkpoint file costs, beside writing and syncing the same bytes as they are.

Both write to the same folder, in turn, each time a new file, and the first is now the one and now
the other. The folder is the current one, as the temporary folder is often memory.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.storage import durable
from mpitrain.storage.checkpoint_file import CheckpointFile, write_checkpoint_file

SIZES_MIB = (16, 128, 512)
NUM_PARAMETERS = 8
ROUNDS = 9
RAW_BLOCK_BYTES = 8 << 20


def measure() -> Iterator[dict[str, Any]]:
    """Yield one row per size: median seconds of writing, raw, reading and copying, and the ratio.

    ``ratio`` is raw / write: 1 means as fast as the disk takes the bytes.
    """
    with tempfile.TemporaryDirectory(prefix="mpitrain-bench-", dir=Path.cwd()) as folder:
        for size_mib in SIZES_MIB:
            yield {"size_mib": size_mib, **_measure_size(Path(folder), size_mib << 20)}


def _measure_size(folder: Path, size_bytes: int) -> dict[str, Any]:
    vector = np.random.default_rng(0).random(size_bytes // 4, np.float32)
    copy = np.empty_like(vector)
    parts = np.split(vector, NUM_PARAMETERS)
    arrays = {f"parameters/w{number}": part for number, part in enumerate(parts)}
    path = folder / "state.h5"
    actions: dict[str, Callable[[], object]] = {
        "write_s": lambda: write_checkpoint_file(path, {"steps": 0}, arrays),
        "raw_s": lambda: _write_raw(path, vector),
    }
    times: dict[str, list[float]] = {"write_s": [], "raw_s": [], "read_s": [], "copy_s": []}
    for number in range(ROUNDS):
        for name in sorted(actions, reverse=bool(number % 2)):
            times[name].append(_seconds(actions[name]))
            if name == "write_s":
                times["read_s"].append(_seconds(lambda: _read(path, copy)))
            path.unlink()
            durable.sync_folder(folder)
        times["copy_s"].append(_seconds(lambda: np.copyto(copy, vector)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {**medians, "ratio": medians["raw_s"] / medians["write_s"]}


def _write_raw(path: Path, vector: npt.NDArray[np.float32]) -> None:
    """Write and sync the bytes in blocks, without a checksum, a rename or the folder's sync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    step = RAW_BLOCK_BYTES // 4
    for start in range(0, len(vector), step):
        durable.write_all(descriptor, vector[start : start + step].view(np.uint8).data)
    os.fsync(descriptor)
    os.close(descriptor)


def _read(path: Path, out: npt.NDArray[np.float32]) -> None:
    with CheckpointFile(path) as file:
        for number, part in enumerate(np.split(out, NUM_PARAMETERS)):
            file.read_into(f"parameters/w{number}", part)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
