"""Damage checkpoints in many ways and read them: ``checkpoint_fuzzing.py FOLDER SEED COUNT``.

Its own process, with little memory allowed. Prints one JSON object: what came of how many.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mpitrain.core.errors import CheckpointError
from mpitrain.storage.checkpoint_file import CheckpointFile, write_checkpoint_file
from mpitrain.storage.checkpoints import Checkpoints

MEMORY_BYTES = 3 << 30  # of addresses; libraries and their threads take half of it
READING = {"on": False}
FORBIDDEN = ("subprocess", "os.system", "os.exec", "os.fork", "os.posix_spawn", "pickle", "compile")
NUMBERS = (0, -1, 1 << 31, 1 << 62, 1 << 63, 10**400, 1.5, None, True, "7", [], {}, "\ud800")

Content = dict[str, tuple[dict[str, Any], dict[str, bytes]]]


def make(folder: Path) -> None:
    """Write the checkpoint that is damaged."""
    checkpoints = Checkpoints(folder)
    path = checkpoints.begin(7)
    files = {}
    for rank, name in enumerate(("state.h5", "rank-00000.h5", "rank-00001.h5")):
        arrays = {
            "parameters/w1": np.arange(60, dtype=np.float32).reshape(6, 10) + rank,
            "parameters/b": np.zeros(3, np.float32),
            "versions": np.arange(4),
            "optimizer/velocity": np.arange(30.0),
        }
        attributes = {"run_id": "abc", "steps": 7, "rate": 0.1, "rank": rank}
        files[name] = write_checkpoint_file(path / name, attributes, arrays, {"parameters/w1": 0})
    checkpoints.mark_complete(7, 0, files, {"metric": 0.5})


def flip_bits(path: Path, source: random.Random) -> None:
    """Flip some bits."""
    data = bytearray(path.read_bytes())
    for _ in range(source.choice([1, 1, 2, 16])):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def overwrite_number(path: Path, source: random.Random) -> None:
    """Replace eight bytes, which may be a length or an address, by another number."""
    data = bytearray(path.read_bytes())
    at = source.randrange(0, len(data) - 8, source.choice([1, 8]))
    numbers = (0, (1 << 64) - 1, 1 << 40, 1 << 62, len(data), source.randrange(len(data)))
    data[at : at + 8] = source.choice(numbers).to_bytes(8, "little")
    path.write_bytes(data)


def move_bytes(path: Path, source: random.Random) -> None:
    """Copy a stretch of the file over another."""
    data = bytearray(path.read_bytes())
    start, at = source.randrange(len(data)), source.randrange(len(data))
    count = min(source.randrange(1, 400), len(data) - max(start, at))
    data[at : at + count] = data[start : start + count]
    path.write_bytes(data)


def cut(path: Path, source: random.Random) -> None:
    """Cut the file short, or make it longer."""
    data = path.read_bytes()
    keep = source.choice([0, 1, len(data) - 1, source.randrange(len(data))])
    path.write_bytes(data + b"more" if source.random() < 0.2 else data[:keep])


def swap(path: Path, source: random.Random) -> None:
    """Swap two files."""
    other = path.with_name(source.choice(["rank-00000.h5", "rank-00001.h5", "complete.json"]))
    mine, others = path.read_bytes(), other.read_bytes()
    path.write_bytes(others)
    other.write_bytes(mine)


def replace(path: Path, source: random.Random) -> None:
    """Put something foreign there."""
    path.unlink()
    kind = source.randrange(6)
    if kind == 0:
        path.symlink_to("/etc/hostname")
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.write_bytes(source.randbytes(source.randrange(1, 5000)))
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.touch()
        os.truncate(path, 1 << 36)  # a hole
    else:
        make_foreign(path, source)


def make_foreign(path: Path, source: random.Random) -> None:
    """Write an HDF5 file of features that no checkpoint has."""
    with h5py.File(path, "w", libver=source.choice(["earliest", "latest"])) as file:
        file["versions"] = np.arange(4)
        for name in source.sample("abcdefg", 2):
            if name == "a":
                file[name] = h5py.ExternalLink("/etc/hostname", "/x")
            elif name == "b":
                file.create_dataset(name, (1 << 40,), "f8", chunks=(1 << 10,))
            elif name == "c":
                file.create_dataset(name, (8,), "f8", external=[("/etc/passwd", 0, 64)])
            elif name == "d":
                file[name] = ["text"]
            elif name == "e":
                file.create_dataset(name, (1000,), "f4", compression="gzip")
            elif name == "f":
                file[name] = h5py.SoftLink("/versions")
            else:
                file.attrs["long"] = "x" * 5000


def change_mark(path: Path, source: random.Random) -> None:
    """Change one value of the mark, whatever the file that was chosen."""
    path = path.with_name("complete.json")
    mark = json.loads(path.read_text())
    holder = source.choice([mark, mark["files"], mark["files"]["state.h5"], mark["facts"]])
    key = source.choice([*holder, "extra", "../x.h5"])
    holder[key] = source.choice(NUMBERS)
    if source.random() < 0.2:
        del holder[key]
    path.write_text(json.dumps(mark))


DAMAGES = (flip_bits, overwrite_number, move_bytes, cut, swap, replace, change_mark)


def rehash(folder: Path) -> bool:
    """Put the sizes and digests of the files as they are into the mark; tell whether it could."""
    try:
        mark = json.loads(small_data(folder / "complete.json"))
        for name, entry in mark["files"].items():
            data = small_data(folder / name)
            entry.update(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        (folder / "complete.json").write_text(json.dumps(mark))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return True


def read(folder: Path) -> Content:
    """Read everything, as a run does that goes on."""
    checkpoints = Checkpoints(folder)
    newest = checkpoints.newest()
    if newest is None:
        (line,) = checkpoints.refused()
        raise CheckpointError(line)
    checkpoints.check(newest)
    content: Content = {}
    for name, written in newest.files.items():
        with CheckpointFile(newest.path / name, written) as file:
            arrays = {key: file.read(key, most_bytes=1 << 20).tobytes() for key in file.keys}
            content[name] = file.attributes, arrays
    return content


def small_data(path: Path) -> bytes:
    """Return the bytes of a plain file; none of a pipe, a folder, a link or a large hole."""
    status = path.lstat()
    is_small_file = stat.S_ISREG(status.st_mode) and status.st_size < 1 << 30
    return path.read_bytes() if is_small_file else b""


def snapshot(folder: Path) -> list[object]:
    """Return names, kinds, times and bytes of what is in a folder."""
    found: list[object] = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        data = small_data(path)
        found.append((path, status.st_mode, status.st_size, status.st_mtime_ns, data))
    return found


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop when reading starts a program, or opens or imports what it should not."""
    if not READING["on"]:
        return
    is_inside = not (event == "open" and isinstance(arguments[0], str | bytes | os.PathLike)) or (
        Path(os.fsdecode(arguments[0])).is_relative_to(sys.argv[1])
    )
    if event.startswith(FORBIDDEN) or not is_inside:
        os._exit(77)


def outcome(good: Content, folder: Path, *, is_rehashed: bool) -> str:
    """Read the damaged checkpoint and tell what came of it."""
    before = snapshot(folder)
    READING["on"] = True
    try:
        content = read(folder)
    except CheckpointError as error:
        line = str(error)
        assert line.startswith(f"checkpoint {folder}"), line
        assert line.isprintable(), line
        result = "refused"
    else:
        is_equal = all(found == good.get(name) for name, found in content.items())
        result = "equal" if is_equal else "different"
    finally:
        READING["on"] = False
    assert snapshot(folder) == before
    assert result != "different" or is_rehashed
    return f"{result}, rehashed" if is_rehashed else result


def main(folder: Path, seed: int, count: int) -> None:
    """Damage, read, count."""
    make(folder / "good")
    good = read(folder / "good")
    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    outcomes: Counter[str] = Counter()
    for number in range(seed, seed + count):
        source = random.Random(number)
        damaged = folder / "damaged"
        shutil.copytree(folder / "good", damaged)
        name = source.choice(["state.h5", "state.h5", "rank-00001.h5", "complete.json"])
        source.choice(DAMAGES)(damaged / "step-000000007" / name, source)
        is_rehashed = number % 2 == 1 and rehash(damaged / "step-000000007")
        outcomes[outcome(good, damaged, is_rehashed=is_rehashed)] += 1
        shutil.rmtree(damaged)
    sys.stdout.write(json.dumps({"peak_bytes": peak_bytes(), **outcomes}) + "\n")


def peak_bytes() -> int:
    """Return the most memory this process had; getrusage would count its parent's before exec."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) << 10


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
