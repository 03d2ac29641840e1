"""The processes of the trial of HDF5's single-writer mode: a staleness log, read while written.

``python -m mpitrain.storage.swmr_reader FOLDER`` is the reader. It prints the versions of HDF5 and
h5py, starts the writer, and prints as JSON what went wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from mpitrain.core.errors import LogError
from mpitrain.storage.opening import opened
from mpitrain.storage.staleness_log import LogWriter

_NUM_EVENTS = 3
_WRITER, _READY = "--writer", "ready\n"


def _look_at(folder: Path) -> str:
    """Write and read in a folder of its own; return what went wrong."""
    try:
        with tempfile.TemporaryDirectory(prefix=".mpitrain-doctor-", dir=folder) as name:
            return _read_while_written(Path(name) / "log.h5")
    except OSError as error:
        return f"{error.strerror or error} ({folder})"


def _read_while_written(path: Path) -> str:
    command = [sys.executable, "-m", "mpitrain.storage.swmr_reader", _WRITER, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stderr is not None
        if writer.stdout.readline() != _READY:
            words = writer.stderr.read().strip().splitlines()[-1:]
            return f"cannot be written: {words[0] if words else 'the writer died'}"
        try:
            with opened(path) as file:
                found = int(file["events/num_rows"][()])
        except LogError as error:
            return str(error).partition(": ")[2]
        finally:
            writer.stdin.close()  # the writer closes the file and ends
    return "" if found == _NUM_EVENTS else f"a reader sees {found} of {_NUM_EVENTS} rows"


def _write(path: Path) -> None:
    """Write events, say so, and keep the file open until the reader has had its look."""
    shards = np.array([[0, 1, 0]], np.int64)
    with LogWriter(path, attributes={}, shards=shards, per_shard=False, flush_every_s=1) as log:
        for number in range(_NUM_EVENTS):
            log.event(0.0, "trial", {"number": number})
        log.flush()
        sys.stdout.write(_READY)
        sys.stdout.flush()
        sys.stdin.read()


def _main(words: list[str]) -> None:
    if words[0] == _WRITER:
        _write(Path(words[1]))
    else:
        versions = f"{h5py.version.hdf5_version} (h5py {h5py.version.version})"
        sys.stdout.write(versions + "\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps(_look_at(Path(words[0]))))


if __name__ == "__main__":
    _main(sys.argv[1:])
