"""The steps of one log, slice by slice, with the edges of their phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from mpitrain.analysis.scan import slice_rows
from mpitrain.analysis.spans import ENDED, TIME_COLUMNS, Edges, edges_of
from mpitrain.storage.reading import Segment

Columns = Mapping[str, npt.NDArray[Any]]


def step_slices(
    part: Segment, zero_ns: int, names: tuple[str, ...] = (), size: int | None = None
) -> Iterator[tuple[int, Edges, Columns]]:
    """Yield the first row of a slice, its edges, and its columns with ``clock``."""
    least_ns = zero_ns
    columns = list({*TIME_COLUMNS, "clock", *names})
    for first, slice_of in part.log.slices(columns, part.num_rows, slice_rows(part.log, size)):
        edges = edges_of(slice_of, zero_ns, least_ns)
        least_ns = int(edges[-1, ENDED])
        yield first, edges, slice_of
