"""What the staleness log costs: process CPU time of training steps with and without it.

One process trains; the log is switched every 500 steps. What rows cost while steps run is the
median over pairs of neighbouring segments, so that slow drifts cancel. What writing them to the
file costs, the thread's work, is measured apart: after every ``log.flush_every_s`` of logged steps
they are flushed, as in a run, and the CPU time of these flushes is shared out over the rows.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.core.batch import Batch
from mpitrain.models.mlp import Mlp
from mpitrain.modes.record import StepRecord
from mpitrain.running.log_keeper import LogKeeper
from mpitrain.running.totals import Totals
from mpitrain.storage.staleness_log import LogWriter

SEGMENT_STEPS = 500
NUM_PAIRS = 100
FLUSH_EVERY_S = 2.0  # the default of log.flush_every_s
NEVER_S = 1e6
BATCH_SIZE = 180
HIDDEN = (256, 128)  # a step of a bit under a millisecond: 1,000 steps/s and more


class _Steps:
    """Training steps of one rank, without exchange: what the log's cost is compared with."""

    def __init__(self, num_shards: int) -> None:
        random = np.random.default_rng(0)
        self._model = Mlp(64, HIDDEN, 10, "relu", "float32")
        layout = self._model.layout
        self._flat = self._model.init(0)
        self._gradient = np.zeros_like(self._flat)
        self._views = layout.views(self._flat), layout.views(self._gradient)
        x = random.random((BATCH_SIZE, 64), np.float32)
        self._batch = Batch(x, random.integers(0, 10, BATCH_SIZE))
        self.record = StepRecord(num_shards)
        self.record.num_samples = BATCH_SIZE

    def step(self) -> None:
        """Compute a gradient and apply it; advance the row's numbers."""
        parameters, gradient = self._views
        record = self.record
        record.loss = self._model.loss_and_gradient(parameters, self._batch, gradient) / BATCH_SIZE
        np.multiply(self._gradient, -1e-3, out=self._gradient)
        np.add(self._flat, self._gradient, out=self._flat)
        record.clock += 1
        record.ticket += 1
        record.version_read += 1
        record.version_written += 1


def measure(num_shards: int = 4) -> dict[str, Any]:
    """Return CPU microseconds per step without the log, what the log adds, and its share.

    Args:
        num_shards: shards whose versions are in every row.
    """
    steps = _Steps(num_shards)
    with tempfile.TemporaryDirectory(prefix="mpitrain-bench-") as folder:
        log = LogWriter(
            Path(folder) / "rank-00000.h5",
            attributes={"rank": 0},
            shards=np.zeros((num_shards, 3), np.int64),
            per_shard=True,
            flush_every_s=NEVER_S,  # by hand, below
        )
        pairs, flushes_s = _measure_pairs(steps, log)
        log.close()
    off_us = statistics.median(off[0] for _, off in pairs) * 1e6
    rows_us = statistics.median(on[0] - off[0] for on, off in pairs) * 1e6
    flush_us = sum(flushes_s) / (NUM_PAIRS * SEGMENT_STEPS) * 1e6
    return {
        "shards": num_shards,
        "steps_per_s": 1 / statistics.median(on[1] for on, _ in pairs),
        "cpu_us_per_step": off_us,
        "rows_us_per_step": rows_us,
        "flush_us_per_step": flush_us,
        "flush_ms": statistics.median(flushes_s) * 1e3,
        "cost_share": (rows_us + flush_us) / off_us,
    }


def _measure_pairs(
    steps: _Steps, log: LogWriter
) -> tuple[list[tuple[tuple[float, float], tuple[float, float]]], list[float]]:
    """Return (with, without) of every pair and the CPU seconds of every flush."""
    observer = LogKeeper(log, sys.exit, time.perf_counter)
    pairs, flushes_s = [], []
    logged_s = 0.0
    _segment(steps, None)
    for pair in range(NUM_PAIRS):
        first = None if pair % 2 else _segment(steps, None)  # now before, now after: no bias
        with_log = _segment(steps, observer)
        logged_s += with_log[1] * SEGMENT_STEPS
        if logged_s >= FLUSH_EVERY_S or pair == NUM_PAIRS - 1:
            began_s = time.process_time()
            log.flush()
            flushes_s.append(time.process_time() - began_s)
            logged_s = 0.0
        pairs.append((with_log, first or _segment(steps, None)))
    return pairs, flushes_s


def _segment(steps: _Steps, observer: LogKeeper | None) -> tuple[float, float]:
    """Run one segment; return CPU and elapsed seconds per step."""
    totals = Totals()
    began = time.process_time(), time.perf_counter()
    for _ in range(SEGMENT_STEPS):
        steps.step()
        if observer is not None:
            observer.after_step(steps.record, totals)
    return (
        (time.process_time() - began[0]) / SEGMENT_STEPS,
        (time.perf_counter() - began[1]) / SEGMENT_STEPS,
    )
