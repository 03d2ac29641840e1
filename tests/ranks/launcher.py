"""Starting real ranks from tests, with either MPI; never loads MPI itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mpitrain.launch_environment import launcher_defaults

ROOT = Path(__file__).resolve().parents[2]
GRACE_S = 5.0  # between a polite end and a kill
LOOK_EVERY_S = 1.0


def python_of(mpi: str) -> Path:
    """Return the interpreter of the environment that holds ``mpi``.

    Raises:
        FileNotFoundError: there is none; says how to make one.
    """
    places = {"openmpi": Path(sys.executable), "mpich": ROOT / ".venv-mpich" / "bin" / "python"}
    python = Path(os.environ.get(f"MPITRAIN_TEST_{mpi.upper()}_PYTHON", places[mpi]))
    if not python.exists():
        message = f"{python} is missing: 'make test' makes the environment with {mpi}"
        raise FileNotFoundError(message)
    return python


def run_ranks(
    mpi: str,
    ranks: int,
    words: Sequence[str],
    *,
    timeout: float,
    environ: Mapping[str, str],
    progress: Callable[[], object] = lambda: None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python WORDS`` on ranks under mpiexec; see ``run``."""
    python = python_of(mpi)
    command = [str(python.parent / "mpiexec"), "-n", str(ranks), str(python), *words]
    environment = {**os.environ, **environ}
    launcher_defaults(environment, is_root=os.geteuid() == 0)
    return run(command, cwd=ROOT, timeout=timeout, environ=environment, progress=progress)


def run_launch(
    tmp_path: Path, *words: str, ranks: int, mpi: str = "openmpi", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m mpitrain launch -n RANKS WORDS``; see ``run``.

    ``tmp_path`` becomes the home of what the job writes beside its run directory.
    """
    command = [str(python_of(mpi)), "-m", "mpitrain", "launch", "-n", str(ranks), *words]
    return run(command, cwd=ROOT, timeout=timeout, environ={**os.environ, "HOME": str(tmp_path)})


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    timeout: float,
    environ: Mapping[str, str],
    progress: Callable[[], object] = lambda: None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own and end all of it when it takes too long.

    The time is counted from the last change of what ``progress`` returns.

    Raises:
        subprocess.TimeoutExpired: it took longer than ``timeout`` seconds; nothing of it is left.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = _communicate(process, timeout, progress)
        except subprocess.TimeoutExpired as late:
            out, err = _end(process)
            raise subprocess.TimeoutExpired(command, timeout, out, err) from late
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _communicate(
    process: subprocess.Popen[str], timeout: float, progress: Callable[[], object]
) -> tuple[str, str]:
    """Wait for the end of a process that makes progress; see ``run``."""
    seen, until = progress(), time.monotonic() + timeout
    while True:
        left_s = until - time.monotonic()
        try:
            return process.communicate(timeout=min(LOOK_EVERY_S, max(0.0, left_s)))
        except subprocess.TimeoutExpired:
            now = progress()
            if now != seen:
                seen, until = now, time.monotonic() + timeout
            elif left_s <= LOOK_EVERY_S:
                raise


def left_after(pids: Sequence[int], limit_s: float = 5.0) -> list[int]:
    """Return which processes are still there after at most ``limit_s`` seconds."""
    until = time.monotonic() + limit_s
    while True:
        left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a process and everything below it; ranks are in process groups of their own."""
    below = _descendants(process.pid)
    process.terminate()  # mpiexec ends its ranks, on whatever host they are
    try:
        return process.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
    finally:
        for pid, started in below.items():
            if _started(pid) == started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    return process.communicate()


def _descendants(pid: int) -> dict[int, str]:
    """Return the processes below ``pid``, each with its start time: pids are used again."""
    found: dict[int, str] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, children.read_text(encoding="ascii").split()):
                found |= {child: _started(child), **_descendants(child)}
    return found


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return fields.rpartition(")")[2].split()[19]
