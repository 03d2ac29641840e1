"""One file of a checkpoint: written durably and about as fast as the disk, read with suspicion.

Writing is one pass over the file in order: the bytes that HDF5 puts around the arrays, and the
arrays straight from where they lie. Nothing large is copied, an error of the disk is a plain error
of a write, and HDF5 has nothing to retry at exit. A second thread takes the SHA-256 of the same
bytes meanwhile. Both let other threads compute: writes, digests and checks are calls of some MiB
that do not hold the interpreter's lock.

Reading trusts nothing. The checksum comes first where one is known; then HDF5 tells what there is,
from a descriptor that can only be a plain file; values come straight from their place in the file.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import CheckpointError, ClosedError
from mpitrain.storage import durable
from mpitrain.storage.checkpoint_digest import Written, check_written, open_plain_file
from mpitrain.storage.checkpoint_errors import named, refusal
from mpitrain.storage.checkpoint_inspection import (
    Plain,
    StoredArray,
    arrays_of,
    attributes_of,
)
from mpitrain.storage.checkpoint_skeleton import BLOCK_BYTES, Piece, pieces_of

__all__ = ["CheckpointFile", "Written", "write_checkpoint_file"]

PARAMETERS = "parameters/"

_Array = npt.NDArray[Any]


def write_checkpoint_file(
    path: Path,
    attributes: Mapping[str, Plain],
    arrays: Mapping[str, _Array],
    offsets: Mapping[str, int] | None = None,
) -> Written:
    """Write an HDF5 file durably; the same content gives the same bytes.

    Args:
        path: replaced if it exists; its folder exists.
        attributes: of the file itself; texts of less than 64 KiB.
        arrays: by name, ``group/name`` for those in groups; any shape, numbers or truth values of
            up to 8 bytes, on the host, unchanged until this returns. Those in C order are not
            copied. Names ``parameters/NAME`` must hold finite numbers.
        offsets: by the same names, place in the flat vector in elements; the attribute ``offset``.

    Raises:
        CheckpointError: the disk refuses or a parameter is not finite; ``path`` stays as it was.

    Collective: no; one process writes a path.
    """
    with named(path, "cannot be written"):
        pieces = pieces_of(attributes, arrays, offsets or {})
        sha256 = _write_and_digest(path, pieces)
        return Written(sum(piece.values.nbytes for piece in pieces), sha256)


def _write_and_digest(path: Path, pieces: Sequence[Piece]) -> str:
    """Write the file while another thread takes the SHA-256 of the same bytes; return it."""
    failed = threading.Event()
    with ThreadPoolExecutor(1, "checkpoint-digest") as thread:
        digest = thread.submit(_digest, pieces, failed)
        try:
            with durable.replaced(path) as descriptor:
                _write(path, descriptor, pieces)
        except BaseException:
            failed.set()
            raise
        return digest.result()


def _digest(pieces: Sequence[Piece], failed: threading.Event) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        for block in piece.blocks():
            if failed.is_set():
                return ""
            digest.update(block.view(np.uint8).data)
    return digest.hexdigest()


def _write(path: Path, descriptor: int, pieces: Sequence[Piece]) -> None:
    half_bytes = sum(piece.values.nbytes for piece in pieces) // 2
    written_bytes = 0
    for piece in pieces:
        must_be_finite = piece.name.startswith(PARAMETERS) and piece.values.dtype.kind == "f"
        for block in piece.blocks():
            if must_be_finite:
                _check_finite(path, piece.name, block)
            durable.write_all(descriptor, block.view(np.uint8).data)
            if written_bytes <= half_bytes < written_bytes + block.nbytes:
                durable.reached("data")
            written_bytes += block.nbytes


def _check_finite(path: Path, name: str, block: _Array) -> None:
    is_finite = np.isfinite(block)
    if not is_finite.all():
        value = block[int(np.argmin(is_finite))]
        parameter = name.removeprefix(PARAMETERS)
        message = f"parameter {parameter!r} holds {value}; it is not written to checkpoint {path}"
        raise CheckpointError(message)


class CheckpointFile:
    """A file of a checkpoint, open for reading.

    Args:
        path: the file; no link.
        expected: what the file must hold; its size and SHA-256 are checked before anything else.

    Raises:
        CheckpointError: the file is missing, is not what is expected, or holds what no checkpoint
            needs (:mod:`mpitrain.storage.checkpoint_inspection`).

    Collective: no.
    """

    def __init__(self, path: Path, expected: Written | None = None) -> None:
        self.path = path
        self._descriptor: int | None = None
        with named(path, "cannot be read"):
            self._descriptor = open_plain_file(path)
            try:
                if expected is not None:
                    check_written(path, self._descriptor, expected)
                self._attributes, self._arrays = _inspect(self._descriptor)
            except BaseException:
                self.close()
                raise

    @property
    def attributes(self) -> dict[str, Plain]:
        """Attributes of the file itself. Collective: no."""
        return dict(self._attributes)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of all arrays, those in groups as ``group/name``, sorted. Collective: no."""
        return tuple(sorted(self._arrays))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array. Collective: no."""
        return self._array(name).shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the type of an array's elements. Collective: no."""
        return self._array(name).dtype

    def offset(self, name: str) -> int | None:
        """Return a parameter's place in the flat vector, in elements. Collective: no."""
        return self._array(name).offset

    def read_into(self, name: str, out: _Array) -> None:
        """Read a whole array.

        Args:
            name: of the array.
            out: of the stored shape and dtype, C order, host, overwritten.

        Raises:
            CheckpointError: the shape or dtype is another, or the file cannot be read.

        Collective: no.
        """
        stored = self._array(name)
        if (out.shape, out.dtype) != (stored.shape, stored.dtype):
            raise refusal(
                self.path,
                f"{_what(name)} is {stored.shape} {stored.dtype} on disk, "
                f"{out.shape} {out.dtype} is expected",
            )
        with named(self.path, f"{_what(name)} cannot be read"):
            _read_exactly(self._opened(), stored.start, out)

    def read(self, name: str, *, most_bytes: int) -> _Array:
        """Return a whole array that need not be of a known shape.

        Raises:
            CheckpointError: it is larger than ``most_bytes``, or the file cannot be read.

        Collective: no.
        """
        stored = self._array(name)
        if stored.size_bytes > most_bytes:
            raise refusal(
                self.path,
                f"{_what(name)} takes {stored.size_bytes} bytes, at most {most_bytes} are expected",
            )
        out = np.empty(stored.shape, stored.dtype)
        self.read_into(name, out)
        return out

    def close(self) -> None:
        """Close the file; a second time does nothing. Collective: no."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> CheckpointFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _opened(self) -> int:
        if self._descriptor is None:
            message = f"checkpoint {self.path}: already closed"
            raise ClosedError(message)
        return self._descriptor

    def _array(self, name: str) -> StoredArray:
        self._opened()
        if name not in self._arrays:
            known = ", ".join(self.keys[:20]) or "none"
            raise refusal(self.path, f"{_what(name)} is not there; arrays: {known}")
        return self._arrays[name]


def _inspect(descriptor: int) -> tuple[dict[str, Plain], dict[str, StoredArray]]:
    """Return attributes and arrays; HDF5 reads through the descriptor, opening nothing itself."""
    size_bytes = os.fstat(descriptor).st_size
    with (
        os.fdopen(os.dup(descriptor), "rb", buffering=0) as raw,
        h5py.File(raw, "r") as file,
    ):
        return attributes_of(file["/"].id), arrays_of(file, size_bytes)


def _read_exactly(descriptor: int, start: int, out: _Array) -> None:
    """Fill ``out`` with the bytes of the file from ``start`` on."""
    target = out.reshape(-1, copy=False).view(np.uint8).data
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done : done + BLOCK_BYTES]], start + done)
        if count == 0:
            message = "the file ends too early"
            raise OSError(message)
        done += count


def _what(name: str) -> str:
    parameter = name.removeprefix(PARAMETERS)
    return f"array {name!r}" if parameter == name else f"parameter {parameter!r}"
