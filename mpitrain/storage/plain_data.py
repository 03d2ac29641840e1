"""Reading an HDF5 file that anyone may have made: only what lies in the file itself, as it is.

HDF5 has many ways to say that numbers are somewhere else, or that there are more than the file has
room for: soft and external links, virtual datasets, external storage, filters that unpack, shapes
with nothing stored behind, attributes of variable length. Nothing that we write needs any of them,
so each is refused before a byte of it is read or memory is taken for it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5l, h5s

from mpitrain.core.errors import LogError

MAX_ATTRIBUTES = 1000
MAX_ATTRIBUTE_BYTES = 2**24  # the layout of a model with very many parameters is the longest

_NUMBERS = "biuf"
_KEPT = {h5d.CONTIGUOUS: "contiguous", h5d.COMPACT: "compact", h5d.CHUNKED: "chunked"}


def size_bytes(file: h5py.File) -> int:
    """Return the present size of an open file. Collective: no."""
    return Path(file.filename).stat().st_size


def plain_attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """Return the attributes of the root group: int, float, bool, str or array by name.

    Raises:
        LogError: one is of another type or too large; nothing of it was read then.

    Collective: no.
    """
    num = h5a.get_num_attrs(file.id)
    if num > MAX_ATTRIBUTES:
        raise fault(path, f"has {num} attributes, at most {MAX_ATTRIBUTES} are allowed")
    return {name: _plain_attribute(path, file, name) for name in file.attrs}


def _plain_attribute(path: Path, file: h5py.File, name: str) -> Any:
    attribute = file.attrs.get_id(name)
    is_null = attribute.get_space().get_simple_extent_type() == h5s.NULL
    if is_null or attribute.dtype.kind not in _NUMBERS + "S":
        what = "no value" if is_null else f"the type {attribute.dtype}"
        raise fault(path, f"attribute {name!r} has {what}, allowed are numbers and fixed strings")
    most = min(MAX_ATTRIBUTE_BYTES, size_bytes(file))
    num_bytes = math.prod(attribute.shape) * attribute.dtype.itemsize
    if num_bytes > most:
        raise fault(path, f"attribute {name!r} has {num_bytes} bytes, at most {most} are allowed")
    value = file.attrs[name]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def plain_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset of numbers or fixed strings that is stored in this file without filters.

    Args:
        path: of the file, for messages.
        file: where to look.
        name: with slashes, from the root.

    Raises:
        LogError: there is no such dataset, or it is stored in another way.

    Collective: no.
    """
    place = file
    for part in name.split("/"):
        if not isinstance(place, h5py.Group) or not _has(path, place, part):
            raise fault(path, f"not a staleness log: there is no dataset /{name}")
        place = place[part]
    if not isinstance(place, h5py.Dataset):
        raise fault(path, f"not a staleness log: there is no dataset /{name}")
    properties = place.id.get_create_plist()
    layout, num_filters = properties.get_layout(), properties.get_nfilters()
    if layout not in _KEPT or num_filters or properties.get_external_count():
        raise fault(path, f"/{name} is not stored plainly in this file; no log is written so")
    if place.dtype.kind not in _NUMBERS + "S" or place.shape is None:
        raise fault(path, f"/{name} must hold numbers, found {place.dtype}")
    return place


def has_plain(path: Path, file: h5py.File, name: str) -> bool:
    """Tell whether the root or one of its groups has something of this name. Collective: no."""
    group, _, last = name.rpartition("/")
    if not group:
        return _has(path, file, last)
    return _has(path, file, group) and isinstance(file[group], h5py.Group) and _has(
        path, file[group], last
    )  # fmt: skip


def _has(path: Path, group: h5py.Group, name: str) -> bool:
    """Tell whether a group has a child; a link that is not a hard one is refused."""
    if not group.id.links.exists(name.encode()):
        return False
    if group.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise fault(path, f"{group.name.rstrip('/')}/{name} is a link, no log has links")
    return True


def read_small(
    path: Path, file: h5py.File, name: str, shape: tuple[str | int, ...]
) -> npt.NDArray[np.int64]:
    """Return a whole int64 dataset that is stored in one piece.

    Args:
        path: of the file, for messages.
        file: where it is.
        name: with slashes, from the root.
        shape: the extents; a letter stands for any number.

    Raises:
        LogError: it has another shape or type, or is not wholly in the file.

    Collective: no.
    """
    dataset = plain_dataset(path, file, name)
    pairs = zip(shape, dataset.shape, strict=False)
    is_right = all(isinstance(wanted, str) or wanted == found for wanted, found in pairs)
    if dataset.ndim != len(shape) or not is_right or dataset.dtype != "<i8":
        wanted, found = ", ".join(map(str, shape)), f"{dataset.shape} {dataset.dtype}"
        raise fault(path, f"/{name} must be ({wanted}) int64, found {found}")
    return _whole(path, file, dataset)


def read_counter(path: Path, file: h5py.File, name: str) -> int:
    """Return a scalar whole number >= 0.

    Raises:
        LogError: it is something else, or is not wholly in the file.

    Collective: no.
    """
    dataset = plain_dataset(path, file, name)
    if dataset.shape != () or dataset.dtype.kind != "i":
        found = f"{dataset.shape} {dataset.dtype}"
        raise fault(path, f"/{name} must be a whole number >= 0, found {found}")
    number = int(_whole(path, file, dataset))
    if number < 0:
        raise fault(path, f"/{name} must be a whole number >= 0, found {number}")
    return number


def _whole(path: Path, file: h5py.File, dataset: h5py.Dataset) -> npt.NDArray[Any]:
    """Read a contiguous or compact dataset; what lies beyond the end would read as zeros."""
    layout, size = dataset.id.get_create_plist().get_layout(), size_bytes(file)
    num_bytes = dataset.size * dataset.dtype.itemsize
    start = dataset.id.get_offset() if layout == h5d.CONTIGUOUS else 0
    if layout == h5d.CHUNKED:
        raise fault(path, f"{dataset.name} is chunked, must be in one piece")
    if num_bytes and (start is None or start + num_bytes > size):
        raise fault(
            path, f"cannot be read: the {num_bytes} bytes of {dataset.name} are not all there"
        )
    whole: npt.NDArray[Any] = dataset[()]
    return whole


def read_rows(path: Path, file: h5py.File, name: str, num_rows: int) -> npt.NDArray[Any]:
    """Return the first ``num_rows`` rows of a column, all of which must be stored in the file.

    Raises:
        LogError: some of the rows are not in the file.

    Collective: no.
    """
    rows: npt.NDArray[Any] = stored_column(path, file, name, num_rows)[:num_rows]
    return rows


def stored_column(path: Path, file: h5py.File, name: str, num_rows: int) -> h5py.Dataset:
    """Return a column of which at least the first ``num_rows`` rows are stored in the file.

    Rows without a stored chunk would read as fill, and a reader of a file that its writer left open
    gets zeros for what lies beyond the end; this looks first.

    Raises:
        LogError: some of the rows are not in the file.

    Collective: no.
    """
    dataset = plain_dataset(path, file, name)
    tail = dataset.shape[1:]
    if dataset.chunks is None or dataset.chunks[1:] != tail:
        raise fault(path, f"/{name} must be chunked by whole rows, found {dataset.chunks}")
    _check_stored(path, file, dataset, num_rows)
    return dataset


def _check_stored(path: Path, file: h5py.File, dataset: h5py.Dataset, num_rows: int) -> None:
    size = size_bytes(file)
    num_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    starts: set[int] = set()
    last = 0

    def note(chunk: h5d.StoreInfo) -> None:
        nonlocal last
        if chunk.chunk_offset[0] < num_rows and chunk.size == num_bytes:
            starts.add(chunk.chunk_offset[0])
            last = max(last, chunk.byte_offset + chunk.size)

    if num_rows:
        dataset.id.chunk_iter(note)
    needed = -(-num_rows // dataset.chunks[0])
    if last > size:
        what = f"{dataset.name} reaches to byte {last}, the file ends at {size}"
        raise fault(path, f"cannot be read: {what}")
    if len(starts) != needed:
        what = f"{dataset.name} has {len(starts)} of the {needed} chunks of {num_rows} rows"
        raise fault(path, f"cannot be read: {what}")


def fault(path: Path, what: str) -> LogError:
    """Return the error that names the file and says what is wrong with it."""
    return LogError(f"{path}: {what}")
