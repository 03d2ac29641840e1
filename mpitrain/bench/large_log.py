"""Large staleness logs without training: what tools that read logs are measured with.

A bounded asynchronous (ssp) run is played through, block of clocks after block of clocks: each
step's times are drawn, ranks wait as the bound says, and on each shard the updates are numbered in
the order of their moments there. All that a log promises holds, so ``verify`` finds nothing wrong.
At the end of a block all ranks wait for each other, as if the bound were 0 there, so that blocks
can be made one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.config import load, to_toml
from mpitrain.core.batches import num_tickets
from mpitrain.core.shards import Shards
from mpitrain.storage.log_file import LogFile
from mpitrain.storage.run_directory import RunDirectory, status_of
from mpitrain.storage.schema import SCHEMA, STEP_COLUMNS, row_checks

BLOCK_CLOCKS = 4096
NUM_ELEMENTS, BATCH_SIZE, NUM_SAMPLES = 100_000, 16, 1437
EVALUATE_EVERY = 100_000  # steps of all ranks together
READ_S, COMPUTE_S, WRITE_S = 2e-5, 1e-3, 3e-5  # medians
TICK_S = 2.0**-30
SLOW = 1.5  # the last rank computes so much longer

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Block:
    """Steps of all ranks in some clocks; arrays are (clocks, P)."""

    began_s: Floats
    wait_s: Floats
    read_s: Floats
    compute_s: Floats
    write_s: Floats

    @property
    def reads_s(self) -> Floats:
        """When reading begins."""
        return self.began_s + self.wait_s

    @property
    def writes_s(self) -> Floats:
        """When writing begins."""
        return self.reads_s + self.read_s + self.compute_s

    @property
    def ends_s(self) -> Floats:
        """When the step is over."""
        return self.writes_s + self.write_s


def write_large_log(
    root: Path, num_steps: int, *, size: int = 16, num_shards: int = 16, bound: int = 3,
    seed: int = 0, is_done: bool = True,
) -> Path:  # fmt: skip
    """Write the logs of a finished ssp run of one life and return its run directory.

    Args:
        root: must not exist; gets run.toml, status.json, result.json and the logs.
        num_steps: of all ranks together; rounded up to the same number on each rank.
        size: ranks.
        num_shards: shards.
        bound: largest lead at the start of a step.
        seed: of the times.
        is_done: False leaves logs, status and result as a killed run does.

    Returns:
        ``root``.

    Collective: no.
    """
    run = RunDirectory(root)
    run.life_directory(0).mkdir(parents=True)
    shards = Shards(NUM_ELEMENTS, num_shards, size)
    _write_config(run, size, num_shards, bound)
    files = [
        LogFile(run.log_path(0, rank), _attributes(rank, shards, bound), shards.table(),
                per_shard=True)
        for rank in range(size)
    ]  # fmt: skip
    random = np.random.default_rng([seed, size, num_shards])
    clocks = -(-num_steps // size)
    end_s, staleness = 0.0, [0.0, 0]
    for first in range(0, clocks, BLOCK_CLOCKS):
        num = min(BLOCK_CLOCKS, clocks - first)
        block = _play(random, num, size, bound, end_s)
        end_s = float(block.ends_s.max())
        for rank, columns in enumerate(_columns(random, block, first, shards)):
            files[rank].write_steps(columns)
            staleness[0] += float(columns["staleness_mean"].sum(dtype=np.float64))
            staleness[1] = max(staleness[1], int(columns["staleness_max"].max()))
    _write_events(files[0], clocks * size, end_s)
    for file in files:
        file.close(is_complete=is_done)
    run.write_status(status_of("done" if is_done else "running"))
    if is_done:
        run.write_result(_result(root, clocks * size, size, end_s, staleness))
    return root


def _play(random: np.random.Generator, num: int, size: int, bound: int, begin_s: float) -> _Block:
    """Let all ranks take ``num`` steps, the first at ``begin_s``."""
    medians = (READ_S, COMPUTE_S, WRITE_S)
    read_s, compute_s, write_s = (
        _whole_ticks(median * random.lognormal(0.0, 0.2, (num, size))) for median in medians
    )
    compute_s[:, -1] = _whole_ticks(SLOW * compute_s[:, -1])
    lengths_s = read_s + compute_s + write_s
    began_s, wait_s = np.empty((2, num, size))
    all_done_s = np.full(num + bound + 1, begin_s)  # of each clock, later by bound + 1 places
    free_s = np.full(size, begin_s)
    for clock in range(num):
        began_s[clock] = free_s
        reads_s = np.maximum(free_s, all_done_s[clock])
        wait_s[clock] = reads_s - free_s
        free_s = reads_s + lengths_s[clock]
        all_done_s[clock + bound + 1] = free_s.max()
    return _Block(began_s, wait_s, read_s, compute_s, write_s)


def _whole_ticks(seconds: Floats) -> Floats:
    """Return times of which sums and differences are exact, so that no order depends on them."""
    return np.ceil(seconds / TICK_S) * TICK_S


def _columns(
    random: np.random.Generator, block: _Block, first: int, shards: Shards
) -> list[Columns]:
    """Return the rows of each rank."""
    num, size = block.began_s.shape
    read, written, own = _versions(random, block, shards.count)
    read += first * size
    written += first * size
    others = written - read - 1 - own
    mean = np.einsum("cps,s->cp", others, shards.weights())
    leads = np.arange(num)[:, np.newaxis] - np.searchsorted(
        np.maximum.accumulate(block.ends_s.max(axis=1)), block.reads_s, "right"
    )
    tickets = first * size + _places(block.began_s)
    passes = num_tickets(NUM_SAMPLES, BATCH_SIZE)
    samples = np.minimum(BATCH_SIZE, NUM_SAMPLES - tickets % passes * BATCH_SIZE)
    clocks = first + np.arange(num)
    loss = 0.05 + 2.3 * np.exp(-clocks / 2e4)
    noise = random.lognormal(0.0, 0.1, (num, size))
    whole: dict[str, npt.NDArray[Any]] = {
        "ticket": tickets, "lead": leads, "staleness_mean": mean,
        "staleness_max": others.max(axis=2), "own_missing": own.max(axis=2),
        "version_read": read, "version_written": written, "num_samples": samples,
        "loss": loss[:, np.newaxis] * noise, "gradient_norm": noise, "update_norm": 0.1 * noise,
        "rate": np.full((num, size), 0.1), "factor": np.ones((num, size)),
        **{name: getattr(block, name) for name in
           ("began_s", "wait_s", "read_s", "compute_s", "write_s")},
    }  # fmt: skip
    return [
        _rank_columns({"clock": clocks, **{name: whole[name][:, rank] for name in whole}})
        for rank in range(size)
    ]


def _versions(
    random: np.random.Generator, block: _Block, num_shards: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return versions read and written, from 0 on, and own updates between: (clocks, P, S)."""
    num, size = block.began_s.shape
    read, written, own = np.zeros((3, num, size, num_shards), np.int64)
    for shard in range(num_shards):
        reads_s = block.reads_s + 0.99 * random.random((num, size)) * block.read_s
        writes_s = block.writes_s + 0.99 * random.random((num, size)) * block.write_s
        written[:, :, shard] = _places(writes_s) + 1
        read[:, :, shard] = np.searchsorted(np.sort(writes_s.ravel()), reads_s, "left")
    return read, written, own


def _places(moments: Floats) -> npt.NDArray[np.int64]:
    """Return each moment's place in their order, from 0: same shape."""
    places = np.empty(moments.size, np.int64)
    places[np.argsort(moments, axis=None, kind="stable")] = np.arange(moments.size)
    return places.reshape(moments.shape)


def _rank_columns(values: Mapping[str, npt.NDArray[Any]]) -> Columns:
    """Return the columns of a rank as the file has them, with their checks."""
    columns = {
        name: np.ascontiguousarray(values[name], column.dtype)
        for name, column in STEP_COLUMNS.items()
        if name != "check"
    }
    keys = [columns[name] for name in ("clock", "ticket", "version_read", "version_written")]
    columns["check"] = row_checks(np.column_stack(keys))
    return columns


def _attributes(rank: int, shards: Shards, bound: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA, "run_id": "large", "life": 0, "rank": rank, "size": shards.num_ranks,
        "host": f"node-{rank // 4}", "mode": "ssp", "bound": bound, "share": "shared", "seed": 0,
        "batch_size": BATCH_SIZE, "num_samples": NUM_SAMPLES, "shards": shards.count,
        "layout": "{}", "block": 1, "clock_error_s": 1e-6,
    }  # fmt: skip


def _write_config(run: RunDirectory, size: int, num_shards: int, bound: int) -> None:
    settings = {
        "run.name": "'large'", "run.directory": f"'{run.root}'", "mode.kind": "'ssp'",
        "mode.bound": bound, "mode.shards": num_shards, "data.batch_size": BATCH_SIZE,
        "simulate.ranks": size,
    }  # fmt: skip
    config = load(overrides=[f"{name}={value}" for name, value in settings.items()])
    run.run_toml.write_text(to_toml(config), encoding="utf-8")


def _write_events(file: LogFile, num_steps: int, end_s: float) -> None:
    steps = np.arange(EVALUATE_EVERY, num_steps + 1, EVALUATE_EVERY)
    details = [
        f'{{"steps": {n}, "loss": {0.05 + 2e5 / n:.6f}, "accuracy": {n / (n + 3e4):.6f}}}'
        for n in steps.tolist()
    ]
    file.write_events(
        {
            "time_s": np.asarray(steps / num_steps * end_s, "<f8"),
            "kind": np.full(len(steps), b"evaluation", "S16"),
            "detail": np.array([detail.encode() for detail in details], "S512"),
        }
    )


def _result(
    root: Path, steps: int, size: int, seconds: float, staleness: list[float]
) -> dict[str, Any]:
    return {
        "schema": 1, "run": "large", "mode": "ssp", "ranks": size, "life": 0, "seed": 0,
        "steps": steps, "samples": steps * BATCH_SIZE, "seconds": seconds, "loss": 0.07,
        "metric_name": "accuracy", "metric": 0.97, "accuracy": 0.97, "ended_early": False,
        "staleness_mean": staleness[0] / steps, "staleness_max": staleness[1],
        "directory": str(root),
    }  # fmt: skip
