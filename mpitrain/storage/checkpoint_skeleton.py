"""The frame of a checkpoint file: what HDF5 writes around the arrays' values, and where these go.

HDF5 writes names, shapes and attributes, and holes for the values, into memory, never to the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5p, h5s, h5t

from mpitrain.storage.checkpoint_inspection import is_plain
from mpitrain.storage.sparse_memory import SparseMemory

BLOCK_BYTES = 8 << 20

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """Bytes that follow each other in the file: an array's, or HDF5's own between two arrays."""

    name: str
    values: _Array  # (n,), contiguous

    def blocks(self) -> Iterator[_Array]:
        """Yield views of at most ``BLOCK_BYTES``, in order."""
        step = BLOCK_BYTES // self.values.itemsize
        for start in range(0, len(self.values), step):
            yield self.values[start : start + step]


def pieces_of(
    attributes: Mapping[str, str | int | float],
    arrays: Mapping[str, _Array],
    offsets: Mapping[str, int],
) -> list[Piece]:
    """Return the content of the file in order: HDF5's own bytes, and the arrays between them.

    Args:
        attributes: of the file itself.
        arrays: by name; those in C order are not copied.
        offsets: attribute ``offset`` of some of the arrays.

    Collective: no.
    """
    flat = {name: np.ascontiguousarray(array).reshape(-1) for name, array in arrays.items()}
    pieces, end = [], 0
    with SparseMemory() as skeleton:
        places = _write_skeleton(skeleton, attributes, arrays, offsets)
        ends = [*sorted((start, name) for name, start in places.items()), (skeleton.size_bytes, "")]
        for start, name in ends:
            skeleton.seek(end)
            between = skeleton.read(start - end)
            pieces.append(Piece("", np.frombuffer(between, np.uint8)))
            if name:
                pieces.append(Piece(name, flat[name]))
                end = start + flat[name].nbytes
    return pieces


def _write_skeleton(
    file: SparseMemory,
    attributes: Mapping[str, str | int | float],
    arrays: Mapping[str, _Array],
    offsets: Mapping[str, int],
) -> dict[str, int]:
    """Write everything but the arrays' values; return where those belong, unless there are none."""
    places = {}
    with h5py.File(file, "w", libver="earliest") as skeleton:
        for name, value in attributes.items():
            _set_attribute(skeleton, name, value)
        for name, array in arrays.items():
            dataset = _reserve(skeleton, name, array)
            if name in offsets:
                dataset.attrs["offset"] = np.int64(offsets[name])
            if array.nbytes:
                places[name] = int(dataset.id.get_offset())
    return places


def _reserve(file: h5py.File, name: str, array: _Array) -> h5py.Dataset:
    """Create a dataset whose place in the file is settled and whose bytes are not written."""
    if not is_plain(array.dtype):
        message = f"array {name!r} must hold plain numbers, found {array.dtype}"
        raise TypeError(message)
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_layout(h5d.CONTIGUOUS)
    layout.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    links = h5p.create(h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5s.create_simple(array.shape) if array.shape else h5s.create(h5s.SCALAR)
    dtype = h5t.py_create(array.dtype)
    return h5py.Dataset(h5d.create(file.id, name.encode(), dtype, space, layout, links))


def _set_attribute(file: h5py.File, name: str, value: str | int | float) -> None:
    """Write an attribute; strings with a fixed length, which a reader can bound."""
    if isinstance(value, str):
        data = value.encode()
        file.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", max(1, len(data))))
    else:
        file.attrs[name] = value
