"""Tests on real ranks: ordinary tests with a marker and a ``comm`` argument.

``@pytest.mark.ranks(1, 2, 4, mpis=("openmpi", "mpich"), limit_s=240)`` runs a test once for each
number of ranks and MPI, under mpiexec. Outside, in the process that the developer starts, MPI is
not started; inside, each rank runs the test's body with ``comm`` = all ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpi4py
import pytest

from tests.ranks.devices import cupy as cupy  # a fixture
from tests.ranks.inside import CASE, RESULTS, Recorder
from tests.ranks.outside import Group

IS_INSIDE = RESULTS in os.environ
DEFAULT_LIMIT_S = 240.0
GROUPS = pytest.StashKey[dict[str, Group]]()

if not IS_INSIDE:
    mpi4py.rc.initialize = False  # collecting imports the tests, which import mpi4py.MPI


def pytest_configure(config: pytest.Config) -> None:
    """Record outcomes, inside."""
    if IS_INSIDE:
        config.pluginmanager.register(Recorder(os.environ[CASE], Path(os.environ[RESULTS])))


@pytest.hookimpl(tryfirst=True)  # before fixtures' own, wherever pytest was told to look
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each MPI and number of ranks; inside, only for the one that it is."""
    marker = metafunc.definition.get_closest_marker("ranks")
    if marker is None:
        return
    mpis = marker.kwargs.get("mpis", ("openmpi",))
    cases = [f"{mpi}-{ranks}" for mpi in mpis for ranks in marker.args]
    if IS_INSIDE:
        cases = [case for case in cases if case == os.environ[CASE]]
    metafunc.parametrize("comm", cases, ids=cases, indirect=True)


@pytest.fixture
def comm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """All ranks, inside; outside, nothing that a test could use."""
    if not IS_INSIDE:
        yield None
        return
    from mpi4py import MPI

    yield MPI.COMM_WORLD
    MPI.COMM_WORLD.Barrier()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Outside, run the test's group on ranks and report this test's part of it."""
    marker = pyfuncitem.get_closest_marker("ranks")
    if IS_INSIDE or marker is None:
        return None
    group = _groups(pyfuncitem.session)[pyfuncitem.callspec.params["comm"]]
    wrong = group.verdict(pyfuncitem.nodeid)
    if wrong:
        pytest.fail(wrong, pytrace=False)
    return True


def _groups(session: pytest.Session) -> dict[str, Group]:
    """Group all selected tests by case, once."""
    if GROUPS not in session.stash:
        groups: dict[str, Group] = {}
        for item in session.items:
            marker = item.get_closest_marker("ranks")
            if marker is None or not isinstance(item, pytest.Function):
                continue
            case = str(item.callspec.params["comm"])
            mpi, _, ranks = case.partition("-")
            group = groups.setdefault(case, Group(mpi, int(ranks)))
            group.tests.append(item.nodeid)
            limit_s = float(marker.kwargs.get("limit_s", DEFAULT_LIMIT_S))
            group.limit_s = max(group.limit_s, limit_s)
        session.stash[GROUPS] = groups
    return session.stash[GROUPS]
