"""Size and SHA-256 of files, taken from plain files only: no links, pipes or devices."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mpitrain.storage.checkpoint_errors import refusal

_BLOCK_BYTES = 8 << 20
_OPEN_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Written:
    """What a file holds, as far as it can be told without understanding it.

    Attributes:
        size_bytes: of the whole file.
        sha256: of all its bytes, 64 hexadecimal digits.
    """

    size_bytes: int
    sha256: str


def open_plain_file(path: Path) -> int:
    """Return a descriptor for reading.

    Raises:
        OSError: the file cannot be opened; a link cannot.
        CheckpointError: it is no plain file.

    Collective: no.
    """
    descriptor = os.open(path, _OPEN_PLAIN)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal(path, "must be a plain file")
    return descriptor


def check_written(path: Path, descriptor: int, expected: Written) -> None:
    """Check size and SHA-256, the cheap one first.

    Raises:
        CheckpointError: they are others; names the file.
        OSError: it cannot be read.

    Collective: no.
    """
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes != expected.size_bytes:
        raise refusal(path, f"is {size_bytes} bytes, complete.json says {expected.size_bytes}")
    if _sha256(descriptor) != expected.sha256:
        raise refusal(path, "is damaged: its SHA-256 is not that in complete.json")


def _sha256(descriptor: int) -> str:
    digest, start = hashlib.sha256(), 0
    block = memoryview(bytearray(_BLOCK_BYTES))
    while count := os.preadv(descriptor, [block], start):
        digest.update(block[:count])
        start += count
    return digest.hexdigest()
