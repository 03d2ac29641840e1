from __future__ import annotations

import itertools

import numpy as np
import pytest

from mpitrain.core.seeds import generator

RECORDED = [8526384596820774206, 16544558491838815459, 15339328450113771744]

PATHS: list[tuple[str | int, ...]] = [
    (),
    ("a",),
    ("b",),
    ("a", "b"),
    ("ab",),
    (0,),
    (1,),
    (0, 0),
    ("a", 0),
    (0, "a"),
    (2**32,),
    (0, 1),
    (2**32 + 1,),
]


def test_generator_gives_the_recorded_stream() -> None:
    """The bits are the same for ever: recorded when the function was written."""
    raw = generator(7, "straggler", 3).bit_generator.random_raw(3)
    assert raw.tolist() == RECORDED


def test_generator_repeats_its_stream() -> None:
    """The same seed and path give the same numbers, whatever was drawn in between."""
    first = generator(5, "x", 1).random(4)
    generator(5, "y", 1).random(1000)
    np.testing.assert_array_equal(generator(5, "x", 1).random(4), first)


def test_generator_gives_every_path_its_own_stream() -> None:
    """No two of many similar seeds and paths share their numbers."""
    streams = [
        tuple(generator(seed, *path).integers(0, 2**63, 2).tolist())
        for seed, path in itertools.product((0, 1, 2**40), PATHS)
    ]
    assert len(set(streams)) == len(streams)


def test_generator_streams_are_uncorrelated() -> None:
    """Neighbouring ranks draw independent numbers."""
    draws = np.stack([generator(0, "noise", rank).standard_normal(10_000) for rank in range(8)])
    off_diagonal = np.corrcoef(draws) - np.eye(8)
    assert np.abs(off_diagonal).max() < 0.05


def test_generator_refuses_a_negative_seed() -> None:
    """Seeds count from zero."""
    with pytest.raises(ValueError, match="non-negative"):
        generator(-1, "x")
