"""A look at data and model before a run begins: a bad sample is no run that diverges."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.batch import Batch
from mpitrain.core.errors import UserError
from mpitrain.data.source import Source
from mpitrain.models.model import Model

MOST_BYTES = 64 << 20  # that a rank looks at
PIECE_BYTES = 4 << 20


def check_samples(source: Source, dtype: npt.DTypeLike, rank: int, size: int) -> None:
    """Check that features are finite and labels in range, each rank a share of the samples.

    Of more than 64 MiB per rank it looks at pieces spread evenly. Rank 0 looks at test samples too.

    Raises:
        UserError: one is not; names the sample.

    Collective: no.
    """
    sample_bytes = max(np.dtype(dtype).itemsize * math.prod(source.sample_shape), 1)
    blocks = max(PIECE_BYTES // (sample_bytes * source.block), 1)
    length = min(blocks * source.block, source.num_samples)
    mine = range(rank * length, source.num_samples, size * length)
    most = max(MOST_BYTES // (sample_bytes * length), 1)
    x = np.empty((length, *source.sample_shape), dtype)
    y = np.empty(length, np.int64)
    for start in mine[:: max(math.ceil(len(mine) / most), 1)]:
        samples = np.arange(start, min(start + length, source.num_samples))
        batch = Batch(x[: samples.size], y[: samples.size])
        source.gather_into(samples, batch.x, batch.y)
        _check("training", start, batch, source.num_classes)
    if rank == 0:
        at = 0
        for batch in islice(source.test_slices(dtype), max(MOST_BYTES // (sample_bytes << 10), 1)):
            _check("test", at, batch, source.num_classes)
            at += len(batch.y)


def check_evaluation(model: Model, source: Source, parameters: npt.NDArray[Any], xp: Any) -> None:
    """Check on one test sample, if there is any, that a model's ``evaluate`` returns its metric.

    Better now than at the end of a long run.

    Args:
        model: of the run.
        source: of its data.
        parameters: (n,), host, the initial ones.
        xp: array module of what the model is given.

    Raises:
        UserError: it does not; names what it returns.

    Collective: no.
    """
    for x, y in islice(source.test_slices(model.layout.dtype, 1), 1):
        views = model.layout.views(xp.asarray(parameters))
        found = model.evaluate(views, Batch(xp.asarray(x), xp.asarray(y)))
        if model.metric_name not in found:
            message = (
                f"the model's evaluate() returns {', '.join(map(repr, found)) or 'nothing'}, not "
                f"its metric_name {model.metric_name!r}; return the sum over the batch by that name"
            )
            raise UserError(message)


def _check(part: str, start: int, batch: Batch, num_classes: int) -> None:
    is_finite = np.isfinite(batch.x).reshape(len(batch.y), -1)
    if not is_finite.all():
        row = int(np.argmin(is_finite.all(axis=1)))
        value = batch.x[row].reshape(-1)[~is_finite[row]][0]
        message = f"the data: {part} sample {start + row} holds {value}; features must be finite"
        raise UserError(message)
    is_bad = (batch.y < 0) | (batch.y >= num_classes)
    if is_bad.any():
        row = int(np.argmax(is_bad))
        message = (
            f"the data: {part} sample {start + row} has label {batch.y[row]}; "
            f"labels must be in [0, {num_classes})"
        )
        raise UserError(message)
