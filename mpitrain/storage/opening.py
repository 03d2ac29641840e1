"""Opening an HDF5 file for reading, whatever state its writer left it in.

A writer marks a file in its first bytes as open for writing, and a killed one leaves the mark
behind. Only a single-writer-multiple-reader (SWMR) reader may ignore it; any other file is opened
plainly, as only then does HDF5 notice that the end is missing.

HDF5 gives an SWMR reader 100 attempts at each piece of metadata whose checksum does not fit, and
doubles the pause after each, which on a damaged file means for ever. The number of attempts has a
setter in HDF5 but not in h5py, so it is called through ``ctypes``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt
from h5py import h5d, h5f, h5p

from mpitrain.core.errors import LogError

_READ_ATTEMPTS = 26  # pauses of 1, 2, 4, ... ns: 0.07 s in all


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file that a writer may have open, may have closed or may have been killed over.

    No lock is asked for: a reader harms nobody, and read-only or network file systems refuse locks.

    Raises:
        LogError: the file, or in the body something in it, cannot be read; names the file.

    Collective: no.
    """
    try:
        is_plain = not _is_marked_open(path)
        with h5py.File(path, "r", locking=False) if is_plain else _open_swmr(path) as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())  # HDF5 writes over several lines
        message = f"{path}: cannot be read: {reason}"
        raise LogError(message) from error


def _is_marked_open(path: Path) -> bool:
    """Tell whether a writer has the file open or was killed over it.

    Source: HDF5 file format specification 3.0, II.A, superblock version 3: signature, version,
    two sizes, then the consistency flags, whose bit 0 is the mark.
    """
    with path.open("rb") as file:
        start = file.read(12)
    return start[:9] == b"\x89HDF\r\n\x1a\n\x03" and bool(start[11] & 1)


def _open_swmr(path: Path) -> h5py.File:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
    access.set_file_locking(False, True)
    set_attempts = ctypes.CDLL(h5p.__file__).H5Pset_metadata_read_attempts
    set_attempts.argtypes = [ctypes.c_int64, ctypes.c_uint]
    if set_attempts(access.id, _READ_ATTEMPTS) < 0:
        message = "HDF5 refused to limit the attempts at reading"
        raise OSError(message)
    return h5py.File(h5f.open(bytes(path), h5f.ACC_RDONLY | h5f.ACC_SWMR_READ, access))


def read_rows(file: h5py.File, name: str, num_rows: int) -> npt.NDArray[Any]:
    """Return the first ``num_rows`` rows of a dataset.

    An SWMR reader gets zeros for what lies beyond the end of a truncated file; this looks first.

    Raises:
        OSError: some of the rows are beyond the end of the file.

    Collective: no.
    """
    dataset = file[name]
    ends = [0]

    def note_end(chunk: h5d.StoreInfo) -> None:
        if chunk.chunk_offset[0] < num_rows:
            ends.append(chunk.byte_offset + chunk.size)

    if dataset.chunks is not None:
        dataset.id.chunk_iter(note_end)
    size = Path(file.filename).stat().st_size
    if max(ends) > size:
        message = f"/{name} reaches to byte {max(ends)}, the file ends at {size}"
        raise OSError(message)
    rows: npt.NDArray[Any] = dataset[:num_rows]
    return rows
