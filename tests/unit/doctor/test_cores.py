from __future__ import annotations

import pytest

from mpitrain.doctor.cores import CoreFacts, judge_blas, judge_cores


def rank(*cores: int, host: str = "a", total: int = 8, blas_threads: str = "1") -> CoreFacts:
    """Return a rank that may run on ``cores``."""
    return CoreFacts(host=host, cores=frozenset(cores), num_cores=total, blas_threads=blas_threads)


def test_ranks_that_are_all_bound_to_one_core_are_found() -> None:
    """Names the core and how to take the binding away."""
    finding = judge_cores([rank(3)] * 4)
    assert (finding.state, finding.value) == (
        "warning",
        "all 4 ranks of a are bound to core 3 of 8",
    )
    assert "--bind-to none" in finding.remedy


def test_more_ranks_than_cores_are_a_warning() -> None:
    """Says how many would fit."""
    finding = judge_cores([rank(0, 1, total=2)] * 3)
    assert (finding.state, finding.value) == ("warning", "3 ranks on 2 cores of a")
    assert "at most 2 ranks" in finding.remedy


def test_ranks_that_share_cores_by_binding_are_to_be_unbound() -> None:
    """Cores are idle while bound ranks share two of them."""
    finding = judge_cores([rank(0), rank(1), rank(0), rank(1)])
    assert (finding.state, "--bind-to none" in finding.remedy) == ("warning", True)


@pytest.mark.parametrize(
    "ranks",
    [
        [rank(0, 1)],
        [rank(0)],
        [rank(0), rank(1)],
        [rank(0, total=1)],
        [rank(0, 1), rank(0, 1, host="b"), rank(0, 1)],
    ],
)
def test_cores_are_ok_when_each_rank_has_one(ranks: list[CoreFacts]) -> None:
    """Bound to its own or not, alone or on several hosts."""
    assert judge_cores(ranks).state == "ok"


def test_cores_name_the_host_that_is_in_trouble() -> None:
    """It is not always rank 0's."""
    finding = judge_cores([rank(0, 1), rank(5, host="b"), rank(5, host="b")])
    assert finding.value == "all 2 ranks of b are bound to core 5 of 8"


def test_several_blas_threads_are_found_on_any_rank() -> None:
    """Names number and rank; one thread is fine; an unknown number is not claimed to be."""
    ranks = [rank(0), rank(1, blas_threads="2"), rank(2, blas_threads="4")]
    finding = judge_blas(ranks, "openblas 1")
    assert (finding.state, finding.value) == (
        "warning",
        "openblas 1, 2 threads on rank 1 of 3, a",
    )
    assert "OPENBLAS_NUM_THREADS" in finding.remedy
    assert judge_blas([rank(0)], "openblas 1").state == "ok"
    assert judge_blas([rank(0, blas_threads="unknown")], "odd").state == "warning"
