"""A slow reference for casts: a table of all narrow numbers, searched for the nearest."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

# bits of the exponent, bits of the fraction
WIDTHS = {"float16": (5, 10), "bfloat16": (8, 7)}
INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80}
NAN = {"float16": 0x7E00, "bfloat16": 0x7FC0}


@cache
def _magnitudes(kind: str) -> Any:
    """Return what the patterns from 0 to infinity's stand for, float64.

    Infinity's stands for the power of two that would come next, for rounding begins halfway there.
    """
    exponent_bits, fraction_bits = WIDTHS[kind]
    patterns = np.arange(INFINITY[kind] + 1)
    exponents, fractions = patterns >> fraction_bits, patterns & ((1 << fraction_bits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    normal = np.ldexp(1 + fractions / (1 << fraction_bits), exponents - bias)
    subnormal = np.ldexp(fractions / (1 << fraction_bits), 1 - bias)
    return np.where(exponents > 0, normal, subnormal)


def widened(kind: str, patterns: Any) -> Any:
    """Return the numbers that uint16 patterns stand for, float32."""
    magnitude = patterns.astype(int) & 0x7FFF
    values = _magnitudes(kind)[np.minimum(magnitude, INFINITY[kind])]
    values = np.where(magnitude == INFINITY[kind], np.inf, values)
    values = np.where(magnitude > INFINITY[kind], np.nan, values)
    is_signed = (patterns >= 0x8000) & ~np.isnan(values)
    return np.where(is_signed, -values, values).astype(np.float32)


def narrowed(kind: str, values: Any) -> Any:
    """Return the patterns nearest to float32 numbers, even ones halfway between, uint16."""
    table = _magnitudes(kind)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        magnitudes = np.abs(values.astype(float))
    below = np.searchsorted(table, magnitudes, side="right") - 1
    below = np.clip(below, 0, INFINITY[kind] - 1)
    halfway = (table[below] + table[below + 1]) / 2  # exact in float64
    is_odd = below % 2 == 1
    rises = (magnitudes > halfway) | ((magnitudes == halfway) & is_odd)
    patterns = below + rises + 0x8000 * np.signbit(values)
    return np.where(np.isnan(values), NAN[kind], patterns).astype(np.uint16)


def hard_values(kind: str) -> Any:
    """Return float32 numbers among which rounding goes wrong if it can, in random order."""
    table = _magnitudes(kind)
    halfway = (table[:-1] + table[1:]) / 2
    points = np.concatenate([table, halfway])
    points = points[points <= np.finfo(np.float32).max].astype(np.float32)
    near = [points, np.nextafter(points, np.float32(0)), np.nextafter(points, np.float32(1e38))]
    random = np.random.default_rng()
    patterns = np.concatenate(
        [
            *(part.view(np.uint32) for part in near),
            np.array([1, 2, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000], np.uint32),
            np.array([0x7F800001, 0x7FFFFFFF, 0x7FC00000, 0x7F80FFFF], np.uint32),
            random.integers(0, 1 << 31, 500_000, np.uint32),
        ]
    )
    return random.permutation(np.concatenate([patterns, patterns | (1 << 31)])).view(np.float32)
