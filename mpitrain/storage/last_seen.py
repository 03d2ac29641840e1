"""Where every rank was last: one small file per rank, mapped into memory, read after a crash.

A rank writes what it is doing into its file's pages, at the beginning of each phase, without a
system call. The pages belong to the kernel, so they outlive a process that is killed. Whoever looks
later reads them as an ordinary file; nothing in it is believed unchecked. On a network file system
other hosts may see an old state.

Phase and clock are one 64-bit word, so that no reader ever sees one without the other. The time is
written after it: for a moment the new place goes with the time of the old one.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mpitrain.core.phases import END, PHASES, START_UP, WAIT

RECORD_BYTES = 4096
TEXT_BYTES = 255
MAGIC = 0x6D70696E6F770001  # its byte order is this machine's

_HEAD = struct.Struct("@4q256s256s")  # magic, rank, pid, life; host, with its length first; spare
_PLACE = struct.Struct("@qd")  # clock << PHASE_BITS | phase, time.time()
_PLACE_AT = 1024
_PHASE_BITS = 8
_LARGEST = 1 << 40  # ranks, pids, lives and clocks beyond this are garbage


@dataclass(frozen=True)
class Seen:
    """What a rank's file says.

    Attributes:
        rank: of the rank.
        host: where it ran.
        pid: its process.
        life: of the run.
        phase: index into ``PHASES``.
        clock: steps it had finished.
        since_s: when the phase began, ``time.time()`` of its host.
    """

    rank: int
    host: str
    pid: int
    life: int
    phase: int
    clock: int
    since_s: float

    @property
    def is_waiting(self) -> bool:
        """Whether it was waiting for other ranks, or had ended."""
        return self.phase in (WAIT, END)


class LastSeen:
    """The file of one rank, held open for writing."""

    def __init__(self, path: Path, rank: int, host: str, life: int = 0) -> None:
        """Write a new file, all of it, so that a full disk shows here and not later.

        Raises:
            OSError: it cannot be written, or there is something at ``path`` already.

        Collective: no.
        """
        name = host.encode()[:TEXT_BYTES]
        head = _HEAD.pack(MAGIC, rank, os.getpid(), life, bytes([len(name)]) + name, b"")
        place = _PLACE.pack(START_UP, time.time())
        record = (head.ljust(_PLACE_AT, b"\0") + place).ljust(RECORD_BYTES, b"\0")
        self._map: mmap.mmap | None = _mapped(path, record)

    def note(self, phase: int, clock: int) -> None:
        """Say that ``phase`` begins, at ``clock``; after ``close`` it does nothing.

        Half a microsecond, no system call but the clock's, which is none on Linux.

        Collective: no.
        """
        if self._map is not None:
            _PLACE.pack_into(self._map, _PLACE_AT, clock << _PHASE_BITS | phase, time.time())

    @property
    def place(self) -> tuple[int, int]:
        """Phase and clock that were noted last; another thread may ask."""
        if self._map is None:
            return END, 0
        word, _ = _PLACE.unpack_from(self._map, _PLACE_AT)
        return word & (1 << _PHASE_BITS) - 1, word >> _PHASE_BITS

    def close(self) -> None:
        """Let go of the file, which stays; a second call does nothing.

        Collective: no.
        """
        if self._map is not None:
            mapped, self._map = self._map, None
            mapped.close()


def last_seen_path(folder: Path, rank: int) -> Path:
    """Return the file of ``rank`` in a life's folder."""
    return folder / f"rank-{rank:05d}.now"


def read_last_seen(path: Path) -> Seen | None:
    """Return what a rank's file says, None when there is no such file or it makes no sense.

    Collective: no.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would block
    except (OSError, ValueError):
        return None
    try:
        return _parsed(os.read(descriptor, RECORD_BYTES + 1))
    except OSError:  # a folder
        return None
    finally:
        os.close(descriptor)


def all_last_seen(folder: Path) -> list[Seen]:
    """Return what all readable files in a life's folder say, by rank.

    Collective: no.
    """
    try:
        paths = sorted(folder.glob("rank-*.now"))
    except OSError:
        return []
    found = {seen.rank: seen for seen in map(read_last_seen, paths) if seen is not None}
    return [found[rank] for rank in sorted(found)]


def seen_text(seen: Seen, now_s: float | None = None) -> str:
    """Return for people: "rank 1 on host a (pid 4711): compute at clock 17, since 12.3 s".

    Args:
        seen: of the rank.
        now_s: the time that the age counts to, ``time.time()``; None takes the present.
    """
    return f"rank {seen.rank} on {seen.host} (pid {seen.pid}): {place_and_age(seen, now_s)}"


def place_and_age(seen: Seen, now_s: float | None = None) -> str:
    """Return "compute at clock 17, since 12.3 s"; see ``seen_text``."""
    age_s = (time.time() if now_s is None else now_s) - seen.since_s
    age = f"since {age_s:.1f} s" if age_s >= 0 else "by a clock that is ahead of this host's"
    return f"{place_text(seen)}, {age}"


def place_text(seen: Seen) -> str:
    """Return "compute at clock 17"."""
    return f"{PHASES[seen.phase]} at clock {seen.clock}"


def first_silent(all_seen: Iterable[Seen]) -> list[Seen]:
    """Return the ranks that were at work and not waiting, who noted nothing for longest first.

    When a rank dies or hangs, the others go on for a moment and then wait for it.
    """
    return sorted((s for s in all_seen if not s.is_waiting), key=lambda s: (s.since_s, s.rank))


def _mapped(path: Path, record: bytes) -> mmap.mmap:
    """Write a new file and map it; one that could not be written is removed again."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:  # only from here on is the file at this path ours to remove
        with os.fdopen(descriptor, "wb+") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
            return mmap.mmap(file.fileno(), len(record))
    except (OSError, ValueError):
        path.unlink(missing_ok=True)
        raise


def _parsed(record: bytes) -> Seen | None:
    if len(record) != RECORD_BYTES:
        return None
    magic, rank, pid, life, host, _ = _HEAD.unpack_from(record)
    word, since_s = _PLACE.unpack_from(record, _PLACE_AT)
    phase, clock = word & (1 << _PHASE_BITS) - 1, word >> _PHASE_BITS
    is_sound = (
        magic == MAGIC
        and all(0 <= number < _LARGEST for number in (rank, pid, life, clock))
        and phase < len(PHASES)
        and 0.0 <= since_s < _LARGEST  # false for NaN
    )
    if not is_sound:
        return None
    name = host[1 : 1 + host[0]].decode(errors="replace")
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return Seen(rank, printable, pid, life, phase, clock, since_s)
