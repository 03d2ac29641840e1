"""A file in memory that takes room only where something was written to it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

_PAGE_BYTES = 4096


class SparseMemory(io.RawIOBase):
    """A file of any length whose holes read as zeros and take no memory.

    Collective: no.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self.size_bytes = 0

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readable(self) -> bool:
        """Say yes."""
        return True

    def writable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start, from here or from the end."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}
        self._position = origin[whence] + offset
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the length; what is cut off may come back when the file grows again."""
        self.size_bytes = self._position if size is None else size
        return self.size_bytes

    def write(self, data: Any) -> int:
        """Write all of ``data`` here."""
        view = memoryview(data).cast("B")
        for number, page, part in self._spans(len(view)):
            self._pages.setdefault(number, bytearray(_PAGE_BYTES))[page] = view[part]
        self._position += len(view)
        self.size_bytes = max(self.size_bytes, self._position)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from here, as far as the file goes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size_bytes - self._position))
        for number, page, part in self._spans(count):
            view[part] = self._pages.get(number, bytes(_PAGE_BYTES))[page]
        self._position += count
        return count

    def _spans(self, count: int) -> Iterator[tuple[int, slice, slice]]:
        """Yield page numbers, the part of the page, and the part of the ``count`` bytes."""
        done = 0
        while done < count:
            number, start = divmod(self._position + done, _PAGE_BYTES)
            stop = min(_PAGE_BYTES, start + count - done)
            yield number, slice(start, stop), slice(done, done + stop - start)
            done += stop - start
