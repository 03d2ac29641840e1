"""Sets of cores as text."""

from __future__ import annotations

import os

import pytest

from mpitrain.core.cores import cores_of, cores_text, own_cores


@pytest.mark.parametrize(
    ("cores", "text"),
    [({3, 0, 1, 2, 8}, "0-3,8"), ({5}, "5"), (set(range(64)), "0-63"), (set(), "")],
)
def test_a_set_is_a_text_and_the_same_set_again(cores: set[int], text: str) -> None:
    """Neighbours are drawn together, in order."""
    assert cores_text(cores) == text
    assert cores_of(text) == cores


@pytest.mark.parametrize("text", ["none", "1,", "-3", "2-a", 7, None, "1-2-3", "9" * 20])
def test_what_is_no_list_has_no_cores(text: object) -> None:
    """Anything that a file may hold."""
    assert cores_of(text) == frozenset()


def test_this_process_runs_somewhere() -> None:
    """On the cores that the system says."""
    assert cores_of(own_cores()) == os.sched_getaffinity(0)
