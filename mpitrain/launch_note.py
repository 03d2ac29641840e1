"""A note from rank 0 to the launcher: which run this is, once all ranks listen to signals.

The launcher makes a private folder and names a file in it to the ranks, by environment. Rank 0
fills it in when the run directory is there. On another host the folder is not, and that is fine:
then the launcher knows less.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTE_VARIABLE = "MPITRAIN_LAUNCH_NOTE"  # path of the file


@dataclass(frozen=True)
class Noted:
    """What the note says.

    Attributes:
        directory: the run directory.
        last_seen: folder of the files that say where each rank is; see ``storage.last_seen``.
        life: of the run.
        pid: process of rank 0, which status.json names too while the run is running.
    """

    directory: Path
    last_seen: Path
    life: int
    pid: int


def note_run_directory(
    environ: Mapping[str, str], directory: Path, last_seen: Path, life: int
) -> None:
    """Tell the launcher, if there is one here, where this run is; rank 0 alone calls it.

    From now on the launcher passes stop signals on, so every rank must be listening, and
    status.json must say that this process runs.

    Args:
        environ: usually ``os.environ``.
        directory: the run directory.
        last_seen: folder of this life's ``rank-*.now`` files.
        life: of the run.
    """
    path = Path(environ.get(NOTE_VARIABLE, ""))
    if not path.is_absolute():
        return
    places = {"directory": str(directory.absolute()), "last_seen": str(last_seen.absolute())}
    text = json.dumps({**places, "life": life, "pid": os.getpid()})
    part = path.with_name(f"{path.name}.part")
    with suppress(OSError):  # another host
        part.write_text(text, encoding="utf-8")
        part.replace(path)


class LaunchNote:
    """The launcher's side: a context manager that makes the folder and removes it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mpitrain-launch-"))
        self.path = self._folder / "note.json"

    def __enter__(self) -> LaunchNote:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self) -> Noted | None:
        """Return what rank 0 wrote, None when it has not, or not here."""
        try:
            return _noted(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None


def _noted(found: dict[str, Any]) -> Noted:
    return Noted(
        Path(found["directory"]), Path(found["last_seen"]), int(found["life"]), int(found["pid"])
    )
