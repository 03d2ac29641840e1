"""Random numbers by name: every use has its own stream, whatever else was drawn before."""

from __future__ import annotations

import zlib

import numpy as np

_WORD = 1 << 32


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """Return the random generator of one named purpose.

    The same seed and path give the same stream on every rank, machine and day; different paths
    give independent streams.

    Args:
        seed: of the run, >= 0.
        path: names and numbers >= 0 that say what the stream is for, as in
            ``generator(seed, "straggler", rank)``.

    Source: O'Neill 2014 (PCG64); NumPy's SeedSequence for turning words into a state.
    """
    words = tuple(word for item in path for word in _words(item))
    sequence = np.random.SeedSequence(seed, spawn_key=words)
    return np.random.Generator(np.random.PCG64(sequence))


def _words(item: str | int) -> tuple[int, ...]:
    """Return 32-bit words that no other item starts with, and only a CRC-32 twin shares."""
    if isinstance(item, str):
        return 1, zlib.crc32(item.encode())
    return 0, item % _WORD, item // _WORD
