"""Files in memory with holes."""

from __future__ import annotations

import random

from mpitrain.storage.sparse_memory import SparseMemory


def test_sparse_memory_reads_back_what_a_plain_buffer_would() -> None:
    """Random writes, reads and cuts across pages, compared with a byte array."""
    source = random.Random(0)
    file, plain = SparseMemory(), bytearray()
    for _ in range(2000):
        start, count = source.randrange(30_000), source.randrange(10_000)
        file.seek(start)
        if source.random() < 0.3:
            data = source.randbytes(count)
            assert file.write(data) == count
            plain.extend(bytes(max(0, start + count - len(plain))))
            plain[start : start + count] = data
        else:
            assert file.read(count) == bytes(plain[start : start + count])
        assert file.seek(0, 2) == file.size_bytes == len(plain)


def test_holes_take_no_memory() -> None:
    """Two bytes that lie a terabyte apart take two pages."""
    file = SparseMemory()
    file.write(b"a")
    file.truncate(1 << 40)
    file.seek(-1, 2)
    file.write(b"b")
    assert file.size_bytes == 1 << 40
    file.seek(1 << 39)
    assert file.read(3) == bytes(3)
    assert len(file._pages) == 2
