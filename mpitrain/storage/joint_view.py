"""The joint view of a life: all ranks' logs as one table, without copying a row.

Each column of ``/steps`` is a virtual dataset of shape (P, longest) or (P, longest, S) that maps
row p to the log of rank p; ``num_rows`` has shape (P,). Rows that a rank does not have read as the
fill: -1, and NaN for floats. Paths are relative to the view, so that a run directory can be moved.

The view is written before the logs have rows and grows with them. While a log is open for writing,
open the view with ``h5py.File(path, swmr=True)``; it then ends in up to 4096 rows of fill, which go
when the logs are closed. It is for plots and other tools: a missing or damaged log reads silently
as fill here, so whoever checks a run reads the logs themselves (:mod:`mpitrain.storage.reading`).
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from mpitrain.storage.schema import SHARD_COLUMNS, Column, step_columns

_ROWS = Column(np.dtype("<i8"), -1)


def write_joint_view(
    path: Path, life_dir_name: str, num_ranks: int, num_shards: int, *, per_shard: bool
) -> None:
    """Write the joint view over the logs ``life_dir_name/rank-00000.h5`` and so on.

    Args:
        path: file to make, in the folder that holds ``life_dir_name``; replaced when it exists.
        life_dir_name: folder of the logs, relative to the folder of ``path``.
        num_ranks: P, >= 1.
        num_shards: S, >= 1.
        per_shard: whether the logs have version columns.

    Collective: no; rank 0 calls it once.
    """
    sources = [f"{life_dir_name}/rank-{rank:05d}.h5".encode() for rank in range(num_ranks)]
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("steps")
        for name, column in step_columns(per_shard=per_shard).items():
            tail = (num_shards,) if name in SHARD_COLUMNS else ()
            _create_view(group, name, column, sources, (h5s.UNLIMITED, *tail))
        _create_view(group, "num_rows", _ROWS, sources, ())


def _create_view(
    group: h5py.Group, name: str, column: Column, sources: list[bytes], shape: tuple[int, ...]
) -> None:
    """Map row p of a virtual dataset to the whole of ``/steps/name`` in the p-th source.

    ``shape`` is that of the sources, its first extent unlimited unless it is scalar.
    """
    now = tuple(0 if extent == h5s.UNLIMITED else extent for extent in shape)
    view = h5s.create_simple((len(sources), *now), (len(sources), *shape))
    source = h5s.create_simple(now, shape) if shape else h5s.create(h5s.SCALAR)
    if shape:
        source.select_hyperslab(_zeros(shape), _ones(shape), _ones(shape), shape)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_value(np.array(column.fill, column.dtype))
    for rank, file_name in enumerate(sources):
        block = (1, *shape)
        view.select_hyperslab((rank, *_zeros(shape)), _ones(block), _ones(block), block)
        properties.set_virtual(view, file_name, f"/steps/{name}".encode(), source)
    view.select_all()
    h5d.create(group.id, name.encode(), h5t.py_create(column.dtype), view, properties)


def _zeros(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) * len(shape)


def _ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * len(shape)
