"""What an HDF5 file from a stranger holds, looked at without reading any values.

Accepted is what a checkpoint needs and no more: groups and arrays of numbers under hard links, each
array in one piece inside the file, and small attributes that are one number or one text. Not
accepted are links to elsewhere, external storage, virtual arrays, filters, chunks and types that
are made up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t

_MOST_OBJECTS = 10_000
_MOST_DEPTH = 8
_MOST_ATTRIBUTES = 1000
_MOST_ATTRIBUTE_BYTES = 65_536
_NUMERIC_KINDS = "biuf"
_MOST_ITEM_BYTES = 8

Plain = str | int | float


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies in the file.

    Attributes:
        shape: of the array.
        dtype: of its elements; the bytes in the file are exactly these.
        start: of its bytes in the file; 0 where there are none.
        offset: in the flat vector, elements; None for what is no parameter.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    offset: int | None

    @property
    def size_bytes(self) -> int:
        """Number of bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def attributes_of(item: h5py.h5g.GroupID | h5d.DatasetID) -> dict[str, Plain]:
    """Return the attributes of a group or dataset as Python's own texts and numbers.

    Raises:
        ValueError: one is no plain text or number, or there are too many.

    Collective: no.
    """
    count = h5a.get_num_attrs(item)
    if count > _MOST_ATTRIBUTES:
        message = f"{count} attributes are too many, at most {_MOST_ATTRIBUTES} are allowed"
        raise ValueError(message)
    attributes = [h5a.open(item, index=index) for index in range(count)]
    return {_text(attribute.name): _plain(attribute) for attribute in attributes}


def arrays_of(file: h5py.File, size_bytes: int) -> dict[str, StoredArray]:
    """Return all arrays of a file by name, those in groups as ``group/name``.

    Args:
        file: open for reading.
        size_bytes: of the file.

    Raises:
        ValueError: something is not accepted; names it.

    Collective: no.
    """
    if file.id.get_create_plist().get_userblock():
        message = "a user block is not accepted"
        raise ValueError(message)
    root = h5g.open(file.id, b"/")
    return {
        name: _stored_array(name, dataset, size_bytes)
        for name, dataset in _datasets(root, "", [0], 0)
    }


def _datasets(
    group: h5g.GroupID, prefix: str, seen: list[int], depth: int
) -> Iterator[tuple[str, h5d.DatasetID]]:
    """Yield the datasets below a group; only hard links, and a bounded number of them."""
    seen[0] += group.get_num_objs()
    if seen[0] > _MOST_OBJECTS or depth > _MOST_DEPTH:
        message = f"more than {_MOST_OBJECTS} objects or {_MOST_DEPTH} levels are not accepted"
        raise ValueError(message)
    for index in range(group.get_num_objs()):
        link = group.get_objname_by_idx(index)
        name = prefix + _text(link)
        if group.links.get_info(link).type != h5l.TYPE_HARD:
            message = f"{name!r} is a link to elsewhere, which is not accepted"
            raise ValueError(message)
        item = h5o.open(group, link)
        if isinstance(item, h5g.GroupID):
            yield from _datasets(item, name + "/", seen, depth + 1)
        elif isinstance(item, h5d.DatasetID):
            yield name, item
        else:
            message = f"{name!r} is neither a group nor an array"
            raise ValueError(message)  # noqa: TRY004, the file's fault


def _stored_array(name: str, dataset: h5d.DatasetID, size_bytes: int) -> StoredArray:
    """Check how an array is stored."""
    layout = dataset.get_create_plist()
    if (
        layout.get_layout() != h5d.CONTIGUOUS
        or layout.get_nfilters()
        or layout.get_external_count()
    ):
        message = f"array {name!r} must lie in the file in one piece, unfiltered"
        raise ValueError(message)
    offset = attributes_of(dataset).get("offset")
    if not (offset is None or (isinstance(offset, int) and offset >= 0)):
        message = f"array {name!r}: attribute offset must be an integer >= 0, found {offset!r}"
        raise ValueError(message)
    start = dataset.get_offset()
    stored = StoredArray(_shape(name, dataset), _dtype(name, dataset), start or 0, offset)
    end = stored.start + stored.size_bytes
    if (start is None and stored.size_bytes) or end > size_bytes:
        message = f"array {name!r} of shape {stored.shape} does not lie inside the file"
        raise ValueError(message)
    return stored


def _shape(name: str, dataset: h5d.DatasetID) -> tuple[int, ...]:
    space = dataset.get_space()
    if space.get_simple_extent_type() not in (h5s.SIMPLE, h5s.SCALAR):
        message = f"array {name!r} has no shape"
        raise ValueError(message)
    return tuple(int(length) for length in space.get_simple_extent_dims())


def _dtype(name: str, dataset: h5d.DatasetID) -> np.dtype[Any]:
    """Return the dtype whose bytes are those in the file."""
    stored = dataset.get_type()
    dtype: np.dtype[Any] = np.dtype("V1")
    if stored.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.ENUM):
        dtype = stored.dtype
    if not is_plain(dtype) or not h5t.py_create(dtype).equal(stored):
        message = f"array {name!r} must hold plain numbers"
        raise ValueError(message)
    return dtype


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Tell whether a checkpoint may hold elements of this type. Collective: no."""
    return dtype.kind in _NUMERIC_KINDS and dtype.itemsize <= _MOST_ITEM_BYTES


def _plain(attribute: h5a.AttrID) -> Plain:
    """Return an attribute's value; its size and type are checked before it is read."""
    name, stored = _text(attribute.name), attribute.get_type()
    is_text = stored.get_class() == h5t.STRING and not stored.is_variable_str()
    is_number = stored.get_class() in (h5t.INTEGER, h5t.FLOAT)
    is_single = attribute.get_space().get_simple_extent_type() == h5s.SCALAR
    size_bytes = int(stored.get_size())
    if (
        not is_single
        or not (is_text or is_number)
        or size_bytes > (_MOST_ATTRIBUTE_BYTES if is_text else _MOST_ITEM_BYTES)
    ):
        message = f"attribute {name!r} must be one number or one text of bounded length"
        raise ValueError(message)
    value = np.empty((), f"S{size_bytes}" if is_text else stored.dtype)
    attribute.read(value, stored if is_text else None)
    plain = value[()].item()
    return plain.decode() if isinstance(plain, bytes) else plain


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
