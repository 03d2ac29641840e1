from __future__ import annotations

import pytest

from mpitrain.doctor.software import judge_hosts, judge_kernels, judge_mpi4py, judge_python

SAME = {"python": "3.11.7", "mpitrain": "1", "MPI library": "X 5", "numpy": "2.1", "cpu": "fast"}


@pytest.mark.parametrize(("version", "state"), [("3.10.9", "wrong"), ("3.11.0", "ok")])
def test_python_must_be_new_enough(version: str, state: str) -> None:
    """3.10 is older than 3.11."""
    assert judge_python(version, "/bin/python").state == state


@pytest.mark.parametrize(
    ("version", "state"), [("unknown", "wrong"), ("3.1.6", "wrong"), ("4.0.0", "ok")]
)
def test_mpi4py_must_be_there_and_new_enough(version: str, state: str) -> None:
    """Old ones lack what windows need."""
    finding = judge_mpi4py(version)
    assert finding.state == state
    assert ("pip install" in finding.remedy) == (state == "wrong")


@pytest.mark.parametrize(
    ("name", "state"),
    [("python", "wrong"), ("mpitrain", "wrong"), ("MPI library", "wrong"), ("numpy", "warning"),
     ("cpu", "warning")],
)  # fmt: skip
def test_hosts_that_differ_are_named_with_both_values(name: str, state: str) -> None:
    """What breaks a job is wrong, what changes bits is a warning."""
    finding = judge_hosts([("a", SAME), ("a", SAME), ("b", SAME | {name: "other"})])
    assert finding.state == state
    assert f"{name} is {SAME[name]} on a and other on b" in finding.value


def test_hosts_that_are_alike_are_counted() -> None:
    """Two ranks of one host are one host."""
    finding = judge_hosts([("a", SAME), ("a", SAME), ("b", SAME)])
    assert (finding.state, finding.value) == ("ok", "2 (a, b, all with the same software)")
    assert judge_hosts([("a", SAME)]).value == "1 (a)"


@pytest.mark.parametrize(
    ("kernels", "label", "is_told"),
    [("auto", "numpy 2.4.6", True), ("auto", "numba 0.68.1", False), ("numpy", "numpy 2", False)],
)
def test_faster_kernels_are_told_where_they_would_be_used(
    kernels: str, label: str, is_told: bool
) -> None:
    """Not where NumPy was chosen."""
    found = judge_kernels(kernels, label)
    assert found.state == "ok"
    assert found.value.startswith(label)
    assert ("pip install numba" in found.value) == is_told


def test_numba_that_does_not_work_is_told() -> None:
    """With its own words."""
    found = judge_kernels("auto", "numpy 2.4.6", "Numba does not work here (no such file)")
    assert found.state == "warning"
    assert "no such file" in found.value
