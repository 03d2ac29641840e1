"""``complete.json``: what makes a checkpoint count, written last and read as if from a stranger.

{"schema": 1, "steps": 1200, "life": 0,
 "files": {"state.h5": {"size_bytes": 4096, "sha256": "..."}, ...}, "facts": {...}}
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mpitrain.storage import durable
from mpitrain.storage.checkpoint_digest import Written, open_plain_file
from mpitrain.storage.checkpoint_errors import named, refusal

MARK = "complete.json"
STATE = "state.h5"
_SCHEMA = 1
_KEYS = {"schema", "steps", "life", "files", "facts"}
_MOST_BYTES = 32 << 20  # 200,000 ranks
_FILE_NAME = re.compile(r"(?:state|rank-[0-9]{5,9})\.h5")
_FOLDER_NAME = re.compile(r"step-[0-9]{9,19}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NUMBER_LIMIT = 1 << 62


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that counts.

    Attributes:
        path: its folder.
        steps: of all ranks together when it was taken.
        life: that wrote it.
        files: what each file must hold, by name.
        facts: what else was noted, for example the metric.
    """

    path: Path
    steps: int
    life: int
    files: dict[str, Written]
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def age(self) -> tuple[int, int]:
        """What checkpoints are ordered by: a later life goes on from an earlier one."""
        return self.life, self.steps


def folder_name(steps: int) -> str:
    """Return the name of the folder of the checkpoint at ``steps``."""
    return f"step-{steps:09d}"


def is_folder_name(name: str) -> bool:
    """Tell whether a checkpoint may have this name."""
    return _FOLDER_NAME.fullmatch(name) is not None


def steps_of(name: str) -> int:
    """Return the steps in the name of a checkpoint's folder."""
    return int(name.removeprefix("step-"))


def is_file_name(name: str) -> bool:
    """Tell whether a file of a checkpoint may have this name; the mark is none of them."""
    return _FILE_NAME.fullmatch(name) is not None


def write_mark(checkpoint: Checkpoint) -> None:
    """Make a checkpoint count, durably; its files must be written.

    Raises:
        CheckpointError: the disk refuses, or a reader would refuse this mark.

    Collective: no; one process, after all files of all ranks are written.
    """
    mark = {
        "schema": _SCHEMA,
        "steps": checkpoint.steps,
        "life": checkpoint.life,
        "files": {name: asdict(written) for name, written in sorted(checkpoint.files.items())},
        "facts": checkpoint.facts,
    }
    path = checkpoint.path / MARK
    with named(path, "cannot be written"):
        data = json.dumps(mark, allow_nan=False, indent=1).encode() + b"\n"
        _parsed(checkpoint.path, data)
        durable.write_bytes(path, data, last_phase="completion")


def read_mark(folder: Path) -> Checkpoint:
    """Return what the mark in a folder says; the other files are not looked at.

    Raises:
        CheckpointError: there is none, or it is damaged, or the folder is a link.

    Collective: no.
    """
    path = folder / MARK
    with named(path, "cannot be read"):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise refusal(folder, "must be a folder, not a link to one")
        descriptor = open_plain_file(path)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        return _parsed(folder, data)


def check_present(checkpoint: Checkpoint) -> None:
    """Check that all files are there, are plain files and have the right sizes.

    Raises:
        CheckpointError: one does not; names it.

    Collective: no.
    """
    for name, written in checkpoint.files.items():
        path = checkpoint.path / name
        with named(path, "cannot be read"):
            found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise refusal(path, "must be a plain file")
        if found.st_size != written.size_bytes:
            size_bytes = written.size_bytes
            raise refusal(path, f"is {found.st_size} bytes, {MARK} says {size_bytes}")


def _parsed(folder: Path, data: bytes) -> Checkpoint:
    """Return the checkpoint that a mark describes.

    Raises:
        ValueError: the mark says what none may say.
        RecursionError: it is nested too deeply.
    """
    _demand(len(data) <= _MOST_BYTES, f"must be at most {_MOST_BYTES} bytes")
    mark = json.loads(data.decode(), parse_constant=_refuse_constant)
    _demand(isinstance(mark, dict) and set(mark) == _KEYS, f"must hold {sorted(_KEYS)}")
    _demand(type(mark["schema"]) is int, "schema must be an integer")
    _demand(mark["schema"] == _SCHEMA, f"schema must be {_SCHEMA}, found {mark['schema']}")
    steps, life = _count(mark, "steps"), _count(mark, "life")
    _demand(folder.name == folder_name(steps), f"steps must be those of the folder, found {steps}")
    _demand(isinstance(mark["facts"], dict), "facts must be an object")
    _demand(isinstance(mark["files"], dict) and STATE in mark["files"], f"files must hold {STATE}")
    files = {name: _written(name, entry) for name, entry in mark["files"].items()}
    return Checkpoint(folder, steps, life, files, mark["facts"])


def _written(name: str, entry: object) -> Written:
    _demand(is_file_name(name), f"files must be {STATE} and rank-NNNNN.h5, found {name[:40]!r}")
    is_whole = isinstance(entry, dict) and set(entry) == {"size_bytes", "sha256"}
    _demand(is_whole, f"{name} must have size_bytes and sha256")
    assert isinstance(entry, dict)  # just checked
    sha256 = entry["sha256"]
    is_digest = isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None
    _demand(is_digest, f"{name}: sha256 must be 64 hexadecimal digits")
    return Written(_count(entry, "size_bytes"), sha256)


def _count(mapping: Mapping[str, Any], key: str) -> int:
    value = mapping[key]
    _demand(type(value) is int and 0 <= value < _NUMBER_LIMIT, f"{key} must be a count below 2^62")
    assert isinstance(value, int)  # just checked
    return value


def _demand(is_so: bool, what: str) -> None:
    if not is_so:
        raise ValueError(what)


def _refuse_constant(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)
