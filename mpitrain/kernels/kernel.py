"""What all twins of a program offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from mpitrain.core.arrays import Array

Run = Callable[[Mapping[str, float]], None]


class Kernel(Protocol):
    """A program made ready for vectors of one type in one place."""

    def bind(self, vectors: Mapping[str, Array], squared: Array | None = None) -> Run:
        """Return what runs the program on every element of these vectors, again and again.

        It takes the values of the program's scalars, by name; more may be there. It allocates
        nothing that grows with the vectors.

        Args:
            vectors: (m,) each, contiguous, by the program's names; more may be there. Those stored
                are overwritten. None of the program's shares memory with another.
            squared: (1,), float64, overwritten with the sum of the measured name's squares; None
                if the program measures nothing.

        Raises:
            ValueError: a kernel would misread one of them.
        """


def checked(
    names: tuple[str, ...],
    vectors: Mapping[str, Array],
    dtype: np.dtype[Any],
    squared: Array | None,
) -> list[Array]:
    """Return the vectors of these names; refuse what a kernel would misread without a word.

    Raises:
        ValueError: a vector's type or length differs, or it is not contiguous; a sum's place does
            not hold one float64.
    """
    chosen = [vectors[name] for name in names]
    for name, vector in zip(names, chosen, strict=True):
        shape = chosen[0].shape
        if vector.dtype != dtype or vector.shape != shape or not vector.flags.c_contiguous:
            message = (
                f"{name} must be a contiguous {dtype} vector like the others of the update, "
                f"{shape}; got {vector.dtype} {vector.shape}"
            )
            raise ValueError(message)
    if squared is not None and (squared.dtype != np.float64 or squared.shape != (1,)):
        message = f"a sum is written to one float64, (1,); got {squared.dtype} {squared.shape}"
        raise ValueError(message)
    return chosen
