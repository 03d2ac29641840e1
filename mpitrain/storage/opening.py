"""Opening a log for reading, whatever state its writer left it in.

A writer marks a file in its first bytes as open for writing, and a killed one leaves the mark
behind. Only a single-writer-multiple-reader (SWMR) reader may ignore it; any other file is opened
plainly, as only then does HDF5 notice that the end is missing.

HDF5 gives an SWMR reader 100 attempts at each piece of metadata whose checksum does not fit, and
doubles the pause after each, which on a damaged file means for ever. The number of attempts has a
setter in HDF5 but not in h5py, so it is called through ``ctypes``.

Only regular files in the newest format are opened: each piece of its metadata has a checksum, so
that HDF5 finds damage before it acts on it. All that HDF5 and h5py raise becomes one error.
"""

from __future__ import annotations

import ctypes
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
from h5py import h5f, h5p

from mpitrain.core.errors import LogError

_SIGNATURE = b"\x89HDF\r\n\x1a\n\x03"
UNFINISHED = "its writer was killed while it made the file, before any row"
HDF5_ERRORS = (
    OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
    MemoryError,
)  # fmt: skip
"""What HDF5 and h5py raise over a damaged file."""

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
        with _open_swmr(path) if is_marked_open(path) else _open_plainly(path) as file:
            yield file
    except LogError:
        raise
    except HDF5_ERRORS as error:
        reason = reason_of(error)
        if "not already open for SWMR writing" in reason:  # marked open, but rows were never begun
            reason = UNFINISHED
        message = f"{path}: cannot be read: {reason}"
        raise LogError(message) from error


def reason_of(error: Exception) -> str:
    """Return what an error says, in one line: HDF5 writes several. Collective: no."""
    return " ".join(str(error).split()) or type(error).__name__


def is_marked_open(path: Path) -> bool:
    """Tell whether a writer has the file open or was killed over it.

    Raises:
        OSError: the file is not there, or is no regular HDF5 file in the newest format.

    Collective: no.
    Source: HDF5 file format specification 3.0, II.A, superblock version 3: signature, version,
    two sizes, then the consistency flags, whose bit 0 is the mark.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        message = "it is no regular file"
        raise OSError(message)
    with path.open("rb") as file:
        start = file.read(12)
    if not start.strip(b"\0"):
        raise OSError(UNFINISHED)
    if start[:9] != _SIGNATURE or len(start) < 12:
        message = "it does not begin as an HDF5 file of version 3 does"
        raise OSError(message)
    return bool(start[11] & 1)


def _open_plainly(path: Path) -> h5py.File:
    return h5py.File(path, "r", locking=False)


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
