"""Read mutated logs: ``python mutated_logs.py FIRST_SEED COUNT``, started by test_mutated_logs.py.

Each seed damages a copy of a log in one of many ways, then reads all of it and verifies the run it
is in. What must come of it is the right content or one line that names the file; anything else,
and memory beyond the limit, ends the process with a traceback.
"""

# The edits are small, many and alike: their names say what they do.
# ruff: noqa: ANN001, ANN201, D103

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from mpitrain.analyse.tool import plain
from mpitrain.analysis.overview import overview_of
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.verify import verify
from mpitrain.core.errors import LogError
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter
from mpitrain.storage.start import StartMarks

MEMORY_BYTES = 96 * 2**20  # beyond what the process has before the first file
NUM_ROWS, NUM_SHARDS = 1100, 3
Random = np.random.Generator


def write_log(path: Path, rank: int, *, is_closed: bool) -> None:
    """Write a log of rank ``rank`` of 2; with ``is_closed`` false leave it as a kill does."""
    numbers = {"start_life": -1, "start_steps": 0, "start_version": 0, "tickets_next": 0,
               "tickets_drawn": 0}  # fmt: skip
    attributes = {
        "run_id": "r", "life": 0, "rank": rank, "size": 2, "host": "h", "mode": "asp", "bound": -1,
        "share": "equal", "seed": 1, "batch_size": 8, "num_samples": 8, "shards": NUM_SHARDS,
        "layout": "{}", "schema": 2, **numbers,
    }  # fmt: skip
    shards = np.array([[0, 4, 0], [4, 8, 0], [8, 12, 1]])
    log = LogWriter(path, attributes=attributes, shards=shards, per_shard=True, flush_every_s=60.0,
                    start=StartMarks(np.zeros(2, np.int64)))  # fmt: skip
    for row in range(NUM_ROWS):
        versions = np.full(NUM_SHARDS, 2 * row + rank)
        log.append(row, 2 * row + rank, *[0] * 14, 8, versions, versions + 1)
    log.event(1.0, "digest", {"parameters_sha256": "abc"})
    log.flush()
    if not is_closed:
        shutil.copy(path, path.with_suffix(".open"))
    log.close()
    if not is_closed:
        path.with_suffix(".open").rename(path)


def flip_bits(data: bytearray, random: Random) -> None:
    """Flip a few bits anywhere, or in the first 20 kB, where most of the metadata is."""
    stop = len(data) if random.random() < 0.5 else min(len(data), 20_000)
    for place in random.integers(0, stop, int(random.integers(1, 9))):
        data[place] ^= 1 << int(random.integers(8))


def overwrite(data: bytearray, random: Random) -> None:
    """Put zeros, ones or noise over a piece."""
    start, length = int(random.integers(len(data))), int(random.integers(1, 3000))
    stop = min(len(data), start + length)
    noise = [bytes(stop - start), b"\xff" * (stop - start), random.bytes(stop - start)]
    data[start:stop] = noise[int(random.integers(3))]


def cut_off(data: bytearray, random: Random) -> None:
    """Lose the end."""
    del data[int(random.integers(len(data))) :]


def cut_out(data: bytearray, random: Random) -> None:
    """Lose a piece in the middle."""
    start = int(random.integers(len(data)))
    del data[start : start + int(random.integers(1, 5000))]


def move(data: bytearray, random: Random) -> None:
    """Copy a piece to another place."""
    length = int(random.integers(1, 5000))
    source, target = (int(random.integers(len(data) - length)) for _ in range(2))
    data[target : target + length] = data[source : source + length]


def append(data: bytearray, random: Random) -> None:
    """Add noise."""
    data += random.bytes(int(random.integers(1, 5000)))


BYTES: list[Callable[[bytearray, Random], None]] = [
    flip_bits, flip_bits, overwrite, cut_off, cut_out, move, append,
]  # fmt: skip


def replace(file: h5py.File, name: str, make: Callable[[str], object]) -> None:
    """Put something else where a dataset was."""
    del file[name]
    make(name)


def edit(path: Path, random: Random) -> None:
    """Change a closed log through HDF5 itself, so that all of its checksums fit."""
    outside = path.parent.parent.parent / "outside.h5"
    with h5py.File(path, "r+", libver="latest") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name))
        name = names[int(random.integers(len(names)))]
        item = file[name]
        shape = item.shape if isinstance(item, h5py.Dataset) else (5,)
        dtype = item.dtype if isinstance(item, h5py.Dataset) else np.dtype("i8")
        EDITS[int(random.integers(len(EDITS)))](file, name, shape, dtype, outside, random)


Edit = Callable[[h5py.File, str, tuple[int, ...], np.dtype, Path, Random], None]


def soft_link(file, name, shape, dtype, outside, random):
    replace(file, name, lambda n: file.__setitem__(n, h5py.SoftLink("/steps/clock")))


def loop(file, name, shape, dtype, outside, random):
    replace(file, name, lambda n: file.__setitem__(n, h5py.SoftLink("/" + name)))


def external_link(file, name, shape, dtype, outside, random):
    replace(file, name, lambda n: file.__setitem__(n, h5py.ExternalLink(str(outside), name)))


def root_again(file, name, shape, dtype, outside, random):
    replace(file, name, lambda n: file.__setitem__(n, file["/"]))


def huge(file, name, shape, dtype, outside, random):
    tail = shape[1:]
    file["steps/num_rows"][()] = 2 ** int(random.integers(20, 62))
    replace(file, name, lambda n: file.create_dataset(n, (2**40, *tail), dtype, chunks=(64, *tail)))


def huge_rows(file, name, shape, dtype, outside, random):
    num_rows = 2 ** int(random.integers(11, 62))
    file["steps/num_rows"][()] = num_rows
    for column in file["steps"].values():
        if column.shape:
            column.resize((num_rows, *column.shape[1:]))


def huge_flat(file, name, shape, dtype, outside, random):
    replace(file, name, lambda n: file.create_dataset(n, (2**33, *shape[1:]), dtype))


def virtual(file, name, shape, dtype, outside, random):
    layout = h5py.VirtualLayout(shape or (1,), dtype)
    layout[...] = h5py.VirtualSource(str(outside), name, shape or (1,))
    replace(file, name, lambda n: file.create_virtual_dataset(n, layout))


def elsewhere(file, name, shape, dtype, outside, random):
    replace(
        file,
        name,
        lambda n: file.create_dataset(
            n, shape or (1,), dtype, external=[(str(outside), 0, h5py.h5f.UNLIMITED)]
        ),
    )


def bomb(file, name, shape, dtype, outside, random):
    num = 2**22
    file["steps/num_rows"][()] = num
    replace(
        file,
        name,
        lambda n: file.create_dataset(
            n, (num, *shape[1:]), dtype, chunks=(2**14, *shape[1:]), compression=9
        ),
    )
    file[name][: 2**14] = np.zeros((2**14, *shape[1:]), dtype)


def strings(file, name, shape, dtype, outside, random):
    kind = [h5py.string_dtype(), h5py.ref_dtype, h5py.vlen_dtype(np.int64), "S8", "c16", "?"][
        int(random.integers(6))
    ]
    replace(
        file, name, lambda n: file.create_dataset(n, shape, kind, chunks=True if shape else None)
    )


def attribute(file, name, shape, dtype, outside, random):
    said = list(file.attrs)[int(random.integers(len(file.attrs)))]
    values = [
        "variable length", ["a", "b"], -1, 2**63 - 1, 0, 2.5, float("nan"), b"\xff\xfe",
        np.zeros(70_000), h5py.Empty("i8"), True, np.void(b"xyz"), "\n" * 5, [], 10**9,
    ]  # fmt: skip
    file.attrs[said] = values[int(random.integers(len(values)))]


def many_attributes(file, name, shape, dtype, outside, random):
    for number in range(1200):
        file.attrs[f"a{number}"] = number


def numbers(file, name, shape, dtype, outside, random):
    if not shape or not isinstance(file[name], h5py.Dataset) or dtype.kind == "S":
        name = "steps/num_rows" if random.random() < 0.5 else "closed"
        file[name][()] = random.choice([-1, 0, 1, 5, 100])
        return
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        value = random.choice([limits.min, limits.max, 0, 1, limits.max // 2])
    else:
        value = random.choice([np.nan, np.inf, -np.inf, -1.0, 1e30])
    file[name][int(random.integers(max(1, shape[0]))) :] = value


def texts(file, name, shape, dtype, outside, random):
    values = [b"[1]", b"{", b"[" * 500, b'{"parameters_sha256": [1]}', b"\xff", b"null", b"1e999",
              b'{"parameters_sha256": {"a": 1}}', b""]  # fmt: skip
    file["events/detail"][0] = values[int(random.integers(len(values)))]


def missing(file, name, shape, dtype, outside, random):
    del file[name]


EDITS: list[Edit] = [
    soft_link, loop, external_link, root_again, huge, huge_rows, huge_flat, virtual, elsewhere,
    bomb, strings, strings, attribute, attribute, attribute, many_attributes, numbers, numbers,
    numbers, texts, missing,
]  # fmt: skip


def mutate(path: Path, random: Random, bases: list[bytes]) -> None:
    """Damage a log in place."""
    if random.random() < 0.5:
        path.write_bytes(bases[0])
        edit(path, random)
        return
    data = bytearray(bases[int(random.integers(len(bases)))])
    for _ in range(int(random.integers(1, 3))):
        if len(data) > 6000:
            BYTES[int(random.integers(len(BYTES)))](data, random)
    path.write_bytes(data)


def read_all(path: Path) -> str:
    """Read everything a log has; return how that ended."""
    try:
        log = RankLog(path)
        log.read_all()
        size = sum(column.nbytes for column in dict(log.steps).values())
        assert size <= path.stat().st_size
        assert isinstance(log.events, list)
    except LogError as error:
        text = str(error)
        assert "\n" not in text, text
        assert text.startswith(f"{path}: "), text
        return "refused"
    return "read"


def judge(root: Path, path: Path, good: list[bytes]) -> str:
    """Verify the run: a changed log must have a finding, unless it reads as the good one does."""
    report = verify(root)
    facts = overview_of(open_readable(root))  # the other log is whole
    json.dumps(plain(facts), allow_nan=False)
    if read_all(path) == "refused":
        assert any(finding.file == path for finding in report.findings), report
        return "refused"
    assert all("\n" not in str(finding) for finding in report.findings), report.findings
    return "found" if report.findings else "harmless"


def main(first: int, count: int) -> Counter[str]:
    """Try ``count`` seeds."""
    warnings.simplefilter("error")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        run = RunDirectory(root)
        run.life_directory(0).mkdir(parents=True)
        path = run.log_path(0, 1)
        bases = []
        for is_closed in (True, False):
            write_log(path, 1, is_closed=is_closed)
            bases.append(path.read_bytes())
            path.unlink()
        write_log(run.log_path(0, 0), 0, is_closed=True)
        path.write_bytes(bases[0])
        os.mkfifo(root / "outside.h5")  # whoever opens it waits for ever
        assert verify(root).ok, verify(root).findings
        limit_memory()
        for seed in range(first, first + count):
            try:
                mutate(path, np.random.default_rng(seed), bases)
                counts[judge(root, path, bases)] += 1
            except BaseException:
                sys.stderr.write(f"seed {seed}\n")
                raise
    return counts


def limit_memory() -> None:
    """Let the process take little more memory than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.stdout.write(f"{dict(main(int(sys.argv[1]), int(sys.argv[2])))}\n")
