"""What a model computes on: samples and their labels."""

from __future__ import annotations

from typing import NamedTuple

from mpitrain.core.arrays import Array


class Batch(NamedTuple):
    """Some samples.

    Attributes:
        x: (n, ...), the model's dtype, host or device.
        y: (n,), int64, beside ``x``; class numbers from 0.
    """

    x: Array
    y: Array
