"""Where every rank was last: cheap to write, there after a kill, read with suspicion."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from mpitrain.core.phases import COMPUTE, END, PHASES, READ, START_UP, WAIT, WRITE
from mpitrain.storage.last_seen import (
    RECORD_BYTES,
    LastSeen,
    Seen,
    all_last_seen,
    first_silent,
    last_seen_path,
    read_last_seen,
    seen_text,
)
from tests.ranks.launcher import ROOT

SEEN = Seen(rank=1, host="a", pid=4711, life=2, phase=COMPUTE, clock=17, since_s=100.0)
KILLED = """
import os, signal, sys
from pathlib import Path
from mpitrain.storage.last_seen import LastSeen
seen = LastSeen(Path(sys.argv[1]), 3, "node7", 1)
for clock in range(1000):
    seen.note(clock % 5, clock)
os.kill(os.getpid(), signal.SIGKILL)
"""

LIMITED = """
import resource, sys
from pathlib import Path
from mpitrain.storage.last_seen import LastSeen
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
LastSeen(Path(sys.argv[1]), 0, "a")
"""


def written(folder: Path, *, phase: int = COMPUTE, clock: int = 17, rank: int = 1) -> Path:
    """Write the file of a rank."""
    path = last_seen_path(folder, rank)
    seen = LastSeen(path, rank, f"node{rank}", 2)
    seen.note(phase, clock)
    seen.close()
    return path


def test_what_is_noted_is_read_while_it_is_open(tmp_path: Path) -> None:
    """Each phase, small and large clocks; before the first note it is the start-up."""
    path = last_seen_path(tmp_path, 1)
    seen = LastSeen(path, 1, "node1", 2)
    first = read_last_seen(path)
    assert first is not None
    assert (first.phase, first.clock) == (START_UP, 0)
    for phase in range(len(PHASES)):
        for clock in (0, 1, 255, 1 << 20, (1 << 40) - 1):
            before = time.time()
            seen.note(phase, clock)
            got = read_last_seen(path)
            assert got is not None
            assert (got.rank, got.host, got.pid, got.life) == (1, "node1", os.getpid(), 2)
            assert (got.phase, got.clock) == (phase, clock) == seen.place
            assert before <= got.since_s <= time.time()
    assert path.stat().st_blocks * 512 >= RECORD_BYTES or path.stat().st_blocks == 0


def test_note_outlives_a_killed_process(tmp_path: Path) -> None:
    """SIGKILL at once after the note: the last one is in the file."""
    path = last_seen_path(tmp_path, 3)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    found = read_last_seen(path)
    assert found is not None
    assert (found.rank, found.host, found.life, found.phase, found.clock) == (3, "node7", 1, 4, 999)


def test_note_costs_less_than_two_microseconds_and_keeps_nothing(tmp_path: Path) -> None:
    """Measured 0.2 to 0.3 us; the limit leaves room for busy machines."""
    seen = LastSeen(last_seen_path(tmp_path, 0), 0, "a")
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for clock in range(5000):
            seen.note(COMPUTE, clock)
        best = min(best, (time.perf_counter() - began) / 5000)
    assert best < 2e-6
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for clock in range(5000):
        seen.note(COMPUTE, clock)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < 1000


def test_close_is_idempotent_and_later_notes_do_nothing(tmp_path: Path) -> None:
    """The file keeps what was noted before."""
    path = last_seen_path(tmp_path, 0)
    seen = LastSeen(path, 0, "a")
    seen.note(WRITE, 5)
    seen.close()
    seen.close()
    seen.note(READ, 6)
    found = read_last_seen(path)
    assert found is not None
    assert (found.phase, found.clock) == (WRITE, 5)
    assert seen.place == (END, 0)


def test_mutated_file_gives_nothing_or_sane_values(tmp_path: Path) -> None:
    """Two thousand files with random bytes in random places, cut, and grown."""
    good = written(tmp_path).read_bytes()
    path = tmp_path / "rank-00009.now"
    chance = random.Random(4)
    nothing = 0
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(chance.choice((1, 2, 8))):
            place = chance.choice((chance.randrange(64), chance.randrange(1024, 1040)))
            data[place] = chance.randrange(256)
        kept = chance.choice((len(data), len(data), chance.randrange(len(data))))
        path.write_bytes(bytes(data[:kept]) + b"x" * chance.choice((0, 0, 0, 1)))
        found = read_last_seen(path)
        nothing += found is None
        if found is not None:
            line = seen_text(found)
            assert line.isprintable()
            assert len(line) < 500
    assert 200 < nothing < 2000


@pytest.mark.parametrize("kind", ["none", "empty", "folder", "pipe", "link", "huge"])
def test_whatever_else_has_the_name_is_nothing(tmp_path: Path, kind: str) -> None:
    """Reading never raises and never blocks."""
    path = last_seen_path(tmp_path, 0)
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "huge":
        path.write_bytes(bytes(1 << 20))
    assert read_last_seen(path) is None
    assert all_last_seen(tmp_path) == []


def test_writer_takes_nothing_that_is_there(tmp_path: Path) -> None:
    """Neither files nor links are written through or removed; a missing folder is an OSError."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    last_seen_path(tmp_path, 0).symlink_to(precious)
    for path in (last_seen_path(tmp_path, 0), precious):
        with pytest.raises(FileExistsError):
            LastSeen(path, 0, "a")
        assert precious.read_text() == "precious"
    assert last_seen_path(tmp_path, 0).is_symlink()
    with pytest.raises(FileNotFoundError):
        LastSeen(last_seen_path(tmp_path / "none", 0), 0, "a")


def test_full_disk_shows_when_the_file_is_made(tmp_path: Path) -> None:
    """Not later, as a bus error in the middle of a step; nothing is left."""
    path = last_seen_path(tmp_path, 0)
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "File too large" in ended.stderr
    assert not path.exists()


def test_all_ranks_are_found_in_order(tmp_path: Path) -> None:
    """Garbage among them is passed over."""
    for rank in (10, 2, 0):
        written(tmp_path, rank=rank)
    last_seen_path(tmp_path, 1).write_bytes(b"garbage")
    assert [seen.rank for seen in all_last_seen(tmp_path)] == [0, 2, 10]
    assert all_last_seen(tmp_path / "none") == []


def test_text_says_where_and_how_old() -> None:
    """A clock ahead of ours gives no negative age."""
    assert seen_text(SEEN, 112.3) == "rank 1 on a (pid 4711): compute at clock 17, since 12.3 s"
    assert "ahead of this host's" in seen_text(SEEN, 90.0)


def test_first_silent_is_who_worked_and_noted_nothing_for_longest() -> None:
    """Ranks that wait or have ended are not to blame."""
    waiting = replace(SEEN, rank=0, phase=WAIT, since_s=1.0)
    ended = replace(SEEN, rank=2, phase=END, since_s=0.0)
    later = replace(SEEN, rank=3, since_s=101.0)
    assert [seen.rank for seen in first_silent([waiting, later, SEEN, ended])] == [1, 3]


def test_reading_needs_neither_numpy_nor_h5py() -> None:
    """The launcher reads it, on machines that hold neither."""
    text = "import sys, mpitrain.storage.last_seen; print({'numpy', 'h5py'} & set(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "set()\n"
