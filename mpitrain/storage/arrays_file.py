"""HDF5 files of named arrays: read row range by row range, written whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mpitrain.core.errors import ClosedError, UserError, reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import numpy.typing as npt

_NUMERIC_KINDS = "biuf"


class ArrayFile:
    """Read-only door to an HDF5 file of numeric arrays.

    Any thread may read; HDF5 itself does one call at a time. Nothing is cached here beyond HDF5's
    own chunk cache (1 MiB per array). Objects, strings and pickles are refused, never decoded.

    Args:
        path: the file.

    Raises:
        UserError: the file is missing, unreadable or not HDF5.

    Collective: no.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file; shared with other readers, refused while another process writes it."""
        self.path = Path(path)
        self._arrays: dict[str, h5py.Dataset] = {}
        self._file = _open_to_read(self.path)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of all arrays in the file, those in groups as ``group/name``, sorted.

        Collective: no.
        """
        found: list[str] = []

        def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                found.append(name)

        self._opened().visititems(note)
        return tuple(sorted(found))

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the file itself; texts and numbers come as Python's own.

        Collective: no.
        """
        attributes = self._opened().attrs
        return {name: _plain(attributes[name]) for name in attributes}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array.

        Collective: no.
        """
        return tuple(int(length) for length in self._array(name).shape)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the type of an array's elements as stored.

        Collective: no.
        """
        dtype: np.dtype[Any] = self._array(name).dtype
        return dtype

    def chunk_rows(self, name: str) -> int | None:
        """Return how many rows one chunk holds, ``None`` when the array is stored in one piece.

        Collective: no.
        """
        chunks = self._array(name).chunks
        return None if chunks is None else int(chunks[0])

    def read_rows(self, name: str, start: int, stop: int, out: npt.NDArray[Any]) -> None:
        """Read rows ``start`` to ``stop`` of an array.

        Args:
            name: the array.
            start: first row, >= 0.
            stop: one past the last row, <= number of rows.
            out: (stop - start, ...), any numeric dtype, C order, host, overwritten.

        Raises:
            UserError: the file is damaged there; names the file, the array and the rows.

        Collective: no.
        """
        array = self._array(name)
        if start == stop:
            return
        try:
            array.read_direct(out, np.s_[start:stop])
        except OSError as error:
            msg = (
                f"data file {self.path}: rows {start} to {stop} of array '{name}' cannot be read; "
                f"the file is damaged or still being written ({error})"
            )
            raise UserError(msg) from error

    def read(self, name: str) -> npt.NDArray[Any]:
        """Read a whole array; for small ones.

        Returns:
            as stored, native byte order, host, new.

        Collective: no.
        """
        out = np.empty(self.shape(name), self.dtype(name).newbyteorder("="))
        self.read_rows(name, 0, out.shape[0], out)
        return out

    def close(self) -> None:
        """Close the file; a second call does nothing.

        Collective: no.
        """
        self._arrays.clear()
        self._file.close()

    def __enter__(self) -> ArrayFile:
        """Return the file itself; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def _opened(self) -> h5py.File:
        if not self._file:
            msg = f"data file {self.path}: already closed"
            raise ClosedError(msg)
        return self._file

    def _array(self, name: str) -> h5py.Dataset:
        file = self._opened()
        if name not in self._arrays:
            self._arrays[name] = _checked_array(self.path, file, name, self.keys)
        return self._arrays[name]


def write_arrays(
    path: str | Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    *,
    attributes: Mapping[str, str | int | float] | None = None,
    chunk_rows: int | None = None,
    compression: str | None = None,
) -> None:
    """Write arrays to an HDF5 file that ``ArrayFile`` reads, replacing the file in one step.

    The same arrays and attributes give the same bytes (with one version of HDF5): no times are
    stored, texts have a fixed length.

    Args:
        path: the file to write; its folder exists.
        arrays: numeric, at least one dimension each, host.
        attributes: kept on the file itself.
        chunk_rows: rows per chunk; ``None`` stores each array in one piece.
        compression: ``"gzip"`` or ``None``; needs ``chunk_rows``.

    Collective: no; one process writes.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with h5py.File(part, "w", libver="earliest") as file:
        for name, value in (attributes or {}).items():
            file.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
        for name, array in arrays.items():
            file.create_dataset(
                name,
                data=array,
                chunks=_chunk_shape(array.shape, chunk_rows),
                compression=compression,
                track_times=False,
            )
    part.replace(path)


def _chunk_shape(shape: tuple[int, ...], rows: int | None) -> tuple[int, ...] | None:
    return None if rows is None else (max(1, min(rows, shape[0])), *shape[1:])


def _open_to_read(path: Path) -> h5py.File:
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        msg = f"data file {path}: cannot be read: {reason(error)}"
        raise UserError(msg) from error
    if not is_file:
        found = "a folder" if is_folder else "nothing"
        msg = f"data file {path}: an HDF5 file is expected, found {found}"
        raise UserError(msg)
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        if h5py.is_hdf5(path):
            msg = f"data file {path}: cannot be opened, truncated or still being written ({error})"
        else:
            msg = f"data file {path}: an HDF5 file is expected, this is not one ({error})"
        raise UserError(msg) from error


def _checked_array(path: Path, file: h5py.File, name: str, keys: tuple[str, ...]) -> h5py.Dataset:
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        found = "is a group" if isinstance(item, h5py.Group) else "is not there"
        msg = f"data file {path}: array '{name}' {found}; arrays: {', '.join(keys) or 'none'}"
        raise UserError(msg)
    if item.dtype.kind not in _NUMERIC_KINDS or item.shape is None or item.ndim == 0:
        msg = (
            f"data file {path}: array '{name}' must hold numbers in rows, "
            f"found {item.dtype} of shape {item.shape}"
        )
        raise UserError(msg)
    return item


def _plain(value: Any) -> Any:
    """Return an attribute as Python's own text or number where it is one."""
    if isinstance(value, np.generic):
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value
