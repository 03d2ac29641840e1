"""The launcher here is the other end of a pair of sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mpitrain.doctor.hydra import end_hydra_job


def heard(**environ: str) -> bytes:
    """Return what the launcher hears of a rank with that environment."""
    launcher, rank = socket.socketpair()
    with launcher, rank:
        end_hydra_job({"PMI_FD": str(rank.fileno()), **environ})
        launcher.setblocking(False)
        try:
            return launcher.recv(100)
        except BlockingIOError:
            return b""


def test_hydra_alone_is_asked_to_end_the_job() -> None:
    """Slurm speaks another protocol under the same name."""
    assert heard(HYDI_CONTROL_FD="7") == b"cmd=abort exitcode=1\n"
    assert heard() == b""


def test_what_is_no_launchers_socket_is_left_alone(tmp_path: Path) -> None:
    """A program in between may have closed it, and the number names a file by now, or nothing."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        end_hydra_job({"HYDI_CONTROL_FD": "7", "PMI_FD": str(file.fileno())})
    assert path.read_bytes() == b""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    end_hydra_job({"HYDI_CONTROL_FD": "7", "PMI_FD": str(writer)})
    end_hydra_job({"HYDI_CONTROL_FD": "7"})
