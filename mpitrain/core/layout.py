"""Where each named parameter lies in the flat parameter vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.arrays import Array
from mpitrain.core.errors import UserError


@dataclass(frozen=True)
class Layout:
    """Names, shapes and element type of all parameters, in the order of the flat vector.

    Attributes:
        names: one per parameter, each once.
        shapes: one per name; parameters are stored in C order, one after the other.
        dtype: of every parameter.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shapes):
            msg = f"layout: {len(self.names)} names but {len(self.shapes)} shapes"
            raise UserError(msg)
        if len(set(self.names)) != len(self.names):
            msg = f"layout: names must differ, got {', '.join(self.names)}"
            raise UserError(msg)

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], dtype: npt.DTypeLike) -> Layout:
        """Return the layout of ``shapes`` in their order.

        Args:
            shapes: shape by name.
            dtype: of every parameter.
        """
        return cls(tuple(shapes), tuple(shapes.values()), np.dtype(dtype))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Number of elements of each parameter."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Index of each parameter's first element in the flat vector."""
        return tuple(accumulate(self.lengths[:-1], initial=0)) if self.names else ()

    @property
    def size(self) -> int:
        """Number of elements of the flat vector."""
        return sum(self.lengths)

    def views(self, flat: Array) -> dict[str, Array]:
        """Return each parameter as a view into ``flat``; nothing is copied.

        Args:
            flat: (size,), contiguous, host or device; the views write through to it.

        Raises:
            UserError: ``flat`` has another shape.
        """
        if flat.shape != (self.size,):
            msg = f"layout: the flat vector must have shape ({self.size},), got {flat.shape}"
            raise UserError(msg)
        parts = zip(self.names, self.offsets, self.lengths, self.shapes, strict=True)
        return {
            name: flat[offset : offset + length].reshape(shape)
            for name, offset, length, shape in parts
        }
