"""Read one IDX file, the format of MNIST and its relatives, plain or gzipped.

Layout: two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as
a big-endian uint32, then the elements in C order. Memory follows the bytes that are really there,
never the header alone, so that a damaged header cannot ask for all of it.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits (1998).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from mpitrain.core.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_UNSIGNED_BYTE = 0x0800
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 1 << 20


def read_idx(path: Path, num_dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; gzip is recognised by its first bytes, not by its name.
        num_dimensions: what the file must have: 3 for images, 1 for labels.

    Returns:
        uint8, shape as in the header, host, new.

    Raises:
        UserError: unreadable, truncated, too long or another kind of file; names the file, what
            is expected and what was found.
    """
    try:
        with _open(path) as file:
            shape = _read_shape(path, file, num_dimensions)
            content = _read_content(file, math.prod(shape) + 1)
    except EOFError as error:
        msg = f"data file {path}: the gzip stream is truncated"
        raise UserError(msg) from error
    except (OSError, zlib.error) as error:
        msg = f"data file {path}: cannot be read ({error})"
        raise UserError(msg) from error
    _check_length(path, shape, len(content))
    return np.frombuffer(content, np.uint8).reshape(shape)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip else path.open("rb")


def _read_shape(path: Path, file: IO[bytes], num_dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * num_dimensions)
    expected = _UNSIGNED_BYTE + num_dimensions
    magic = int.from_bytes(header[:4], "big")
    if len(header) < 4 or magic != expected:
        msg = (
            f"data file {path}: an IDX file of unsigned bytes with {num_dimensions} dimension(s) "
            f"begins with {expected:08x}, found {header[:4].hex() or 'an empty file'}"
        )
        raise UserError(msg)
    if len(header) < 4 + 4 * num_dimensions:
        msg = (
            f"data file {path}: the IDX header takes {4 + 4 * num_dimensions} bytes, "
            f"found {len(header)}; the file is truncated"
        )
        raise UserError(msg)
    return struct.unpack(f">{num_dimensions}I", header[4:])


def _read_content(file: IO[bytes], limit: int) -> bytearray:
    content = bytearray()
    while len(content) < limit:
        piece = file.read(min(_PIECE_BYTES, limit - len(content)))
        if not piece:
            break
        content += piece
    return content


def _check_length(path: Path, shape: tuple[int, ...], found: int) -> None:
    expected = math.prod(shape)
    if found != expected:
        is_short = found < expected
        msg = (
            f"data file {path}: its header says {shape}, {expected} bytes of elements, "
            f"found {found if is_short else 'more'}; "
            f"{'the file is truncated' if is_short else 'it is not a clean IDX file'}"
        )
        raise UserError(msg)
