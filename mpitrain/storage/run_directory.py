"""Where things are in a run directory, and the JSON files that tell how the run stands."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.core.errors import LogError, UserError, reason
from mpitrain.storage.durable import sync_folder

Json = dict[str, Any]

RESERVE_BYTES = 32 << 10
SAID_BY, LAUNCHER = "said_by", "launcher"  # in status.json, where the ranks left no word


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run; creates nothing by itself.

    Attributes:
        root: the run directory.
        log_root: folder of the staleness logs; None means ``root/log``. Another place is node-local
            storage.
    """

    root: Path
    log_root: Path | None = None

    @property
    def run_toml(self) -> Path:
        """The resolved configuration."""
        return self.root / "run.toml"

    @property
    def status(self) -> Path:
        """How the run stands: running, stopped, failed or done."""
        return self.root / "status.json"

    @property
    def result(self) -> Path:
        """The result, written at the very end."""
        return self.root / "result.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def log(self) -> Path:
        """Folder of the staleness logs of all lives."""
        return self.root / "log" if self.log_root is None else self.log_root

    def life_directory(self, life: int) -> Path:
        """Return the folder with one log per rank of this life."""
        return self.log / f"life-{life:03d}"

    def log_path(self, life: int, rank: int) -> Path:
        """Return the staleness log of one rank in one life."""
        return self.life_directory(life) / f"rank-{rank:05d}.h5"

    def joint_path(self, life: int) -> Path:
        """Return the joint view over the ranks of this life."""
        return self.log / f"life-{life:03d}.h5"

    @property
    def reserve(self) -> Path:
        """Room on the disk for the last words of a run that fills it."""
        return self.root / ".reserve"

    def keep_reserve(self) -> None:
        """Take room for the last words. Collective: no."""
        self.reserve.write_bytes(os.urandom(RESERVE_BYTES))  # no file system makes it smaller

    def give_reserve(self) -> None:
        """Give that room back; a second call does nothing. Collective: no."""
        self.reserve.unlink(missing_ok=True)

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace ``status.json`` in one stroke. Collective: no."""
        self._write(self.status, status)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Replace ``result.json`` in one stroke. Collective: no."""
        self._write(self.result, result)

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        try:
            write_json(path, value)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.give_reserve()
            write_json(path, value)

    def read_status(self) -> Json | None:
        """Return what ``status.json`` holds, None when there is none. Collective: no."""
        return read_json(self.status)

    def read_result(self) -> Json | None:
        """Return what ``result.json`` holds, None when there is none. Collective: no."""
        return read_json(self.result)


def check_is_run(root: Path) -> None:
    """Check that a folder holds a run.

    Raises:
        UserError: it does not.

    Collective: no.
    """
    try:
        is_run = (root / "run.toml").is_file()
    except OSError as error:
        message = f"run directory {root} cannot be read: {reason(error)}"
        raise UserError(message) from error
    if not is_run:
        around = run_around(root)
        message = f"{root} is no run directory: there is no {root / 'run.toml'}"
        if around is not None:
            message += f"; give the run directory, {around}"
            if root.name.startswith("step-"):
                message += f", and --checkpoint {root.name} to resume from this checkpoint"
        raise UserError(message)


def run_around(place: Path) -> Path | None:
    """Return the run directory that a folder or a checkpoint is in, None where it is in none.

    Collective: no.
    """
    with suppress(OSError):
        for folder in place.absolute().parents[:2]:
            if (folder / "run.toml").is_file():
                return folder
    return None


def status_of(
    state: str, *, life: int = 0, reason: str = "", pid: int | None = None
) -> dict[str, Any]:
    """Return what status.json holds when the run is in ``state``.

    Args:
        state: "running", "stopped", "failed" or "done".
        life: of the run.
        reason: for people.
        pid: process of rank 0; None takes this one.
    """
    return {
        "status": state,
        "life": life,
        "pid": os.getpid() if pid is None else pid,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "reason": reason,
    }


def json_line(value: Any) -> str:
    """Return ``value`` as one line of strict JSON; NaN and infinities become null."""
    return json.dumps(_without_nan(value), allow_nan=False)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object so that a reader finds the old file or the new one, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder.

    Collective: no; two processes must not write the same path at the same time.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json_line(value) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def read_json(path: Path) -> Json | None:
    """Return the JSON object in ``path``, None when the file does not exist.

    Raises:
        LogError: the file is not a JSON object.

    Collective: no.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        message = f"cannot read {path}: {reason(error)}"
        raise LogError(message) from error
    if not isinstance(value, dict):
        message = f"{path} must hold a JSON object, found {type(value).__name__}"
        raise LogError(message)
    return value


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
