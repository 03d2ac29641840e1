"""The casts' text without a device: it compiles, and its lines are run on NumPy's numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.cast import NARROW_TYPES
from mpitrain.kernels.cast_source import cast_source
from mpitrain.kernels.cuda_source import OPTIONS
from tests.unit.kernels.casts import hard_values, narrowed, widened
from tests.unit.kernels.lines import run_lines
from tests.unit.kernels.nvrtc import compile_cubin

AS_CUPY = (*OPTIONS, "-ftz=true")  # CuPy adds it to the options it is given
FUNCTIONS: dict[str, Any] = {
    "multiply": np.multiply,
    "as_bits": lambda values: np.asarray(values, np.float32).view(np.uint32),
    "as_float": lambda bits: np.asarray(bits, np.uint32).view(np.float32),
}

both_kinds = pytest.mark.parametrize("kind", NARROW_TYPES)


@both_kinds
@pytest.mark.parametrize("processor", ["sm_80", "sm_90", "sm_100"])
def test_cast_source_compiles(kind: str, processor: str) -> None:
    """Without a warning; both sides are moved 16 bytes at a time and stay in registers."""
    code, text = compile_cubin(cast_source(kind), AS_CUPY, processor)
    assert len(code) > 1000
    assert len(re.findall(r"ld\.global\.nc\.v4", text)) == 3
    assert len(re.findall(r"st\.global\.v4", text)) == 3
    assert ".local" not in text


@both_kinds
def test_cast_source_multiplies_without_flushing_subnormal_numbers(kind: str) -> None:
    """Every product is the instruction that keeps them, though CuPy asks for the other."""
    _, text = compile_cubin(cast_source(kind), AS_CUPY, "sm_90")
    products = set(re.findall(r"(?:mul|fma)\.\S*f32", text))
    assert products == {"mul.rn.f32"}


@both_kinds
@pytest.mark.parametrize("scale", [1.0, 0.1, -3.0, 2.0**-130, 1e30])
def test_cast_source_rounds_as_the_reference_does(kind: str, scale: float) -> None:
    """The text's own lines, both ways, at all hard values and all patterns."""
    source, factor = cast_source(kind), np.float32(scale)
    values, patterns = hard_values(kind), np.arange(1 << 16, dtype=np.uint16)
    given = {**FUNCTIONS, "scale": factor}
    with np.errstate(all="ignore"):
        made = run_lines(source, "narrowed", {**given, "value": values})["narrow"]
        names = run_lines(source, "widened", {**given, "narrow": patterns.astype(np.uint32)})
        product = values * factor
        expected = widened(kind, patterns) * factor
    assert made.dtype == np.uint32
    np.testing.assert_array_equal(made, narrowed(kind, product))
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(names["bits"][is_nan], 0x7FC00000)
    np.testing.assert_array_equal(names["bits"][~is_nan], expected.view(np.uint32)[~is_nan])
