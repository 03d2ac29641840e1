"""Judges Python, mpi4py and whether the hosts have the same software."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpitrain.doctor.finding import Finding, ok, warning, wrong

OLDEST_PYTHON = (3, 11)
OLDEST_MPI4PY = 4

# facts that must be the same on every host, and facts that only the bits depend on
_MUST_AGREE = ("python", "mpitrain", "MPI library")
_SHOULD_AGREE = ("mpi4py", "numpy", "h5py", "blas", "cpu")


def judge_python(version: str, executable: str) -> Finding:
    """Judge the interpreter, given its version and path."""
    numbers = tuple(int(part) for part in version.split(".")[:2])
    value = f"{version} ({executable})"
    if numbers < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        return wrong("python", value, f"use Python {needed} or newer")
    return ok("python", value)


def judge_mpi4py(version: str) -> Finding:
    """Judge the version of mpi4py; "unknown" when it is not installed."""
    major = version.partition(".")[0]
    if not major.isdecimal():
        return wrong("mpi4py", "not installed", "pip install mpi4py")
    if int(major) < OLDEST_MPI4PY:
        return wrong("mpi4py", version, f"pip install 'mpi4py>={OLDEST_MPI4PY}'")
    return ok("mpi4py", version)


def judge_kernels(kernels: str, label: str, trouble: str = "") -> Finding:
    """Judge what runs updates on the CPU.

    Args:
        kernels: device.kernels of the run.
        label: name and version of what runs them.
        trouble: why nothing faster does; empty where there is no reason.
    """
    if trouble:
        remedy = "reinstall Numba, or say device.kernels=numpy"
        return warning("kernels", f"{label}: {trouble}", remedy)
    if kernels == "auto" and label.startswith("numpy"):
        return ok("kernels", f"{label}; with Numba (pip install numba) updates are faster")
    return ok("kernels", label)


def judge_hosts(facts: Sequence[tuple[str, Mapping[str, str]]]) -> Finding:
    """Judge whether the ranks run on the same software and processors.

    Args:
        facts: of each rank, its host and versions by name.
    """
    first_host, first = facts[0]
    hosts = list(dict.fromkeys(host for host, _ in facts))
    bad, merely_odd = [
        [
            f"{name} is {first.get(name)} on {first_host} and {other.get(name)} on {host}"
            for name in names
            for host, other in _first_unlike(facts, name)
        ]
        for names in (_MUST_AGREE, _SHOULD_AGREE)
    ]
    if bad:
        remedy = "use one environment on all hosts, for example on a shared file system"
        return wrong("hosts", "; ".join(bad + merely_odd), remedy)
    if merely_odd:
        remedy = "make them alike where a run must be repeated bit for bit"
        return warning("hosts", "; ".join(merely_odd), remedy)
    shown = ", ".join(hosts[:4]) + (", ..." if len(hosts) > 4 else "")
    alike = ", all with the same software" if len(hosts) > 1 else ""
    return ok("hosts", f"{len(hosts)} ({shown}{alike})")


def _first_unlike(
    facts: Sequence[tuple[str, Mapping[str, str]]], name: str
) -> list[tuple[str, Mapping[str, str]]]:
    """Return the first rank whose fact differs from rank 0's, in a list; empty when none does."""
    expected = facts[0][1].get(name)
    return [(host, other) for host, other in facts if other.get(name) != expected][:1]
