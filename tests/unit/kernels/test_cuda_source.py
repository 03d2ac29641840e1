"""CUDA without a device: every source compiles, and its arithmetic is run line by line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.cuda_source import OPTIONS, cuda_source
from mpitrain.kernels.formulas import FORMULAS, update_program, update_scalars
from mpitrain.kernels.program import Program, program
from tests.unit.kernels.nvrtc import compile_cubin

PROCESSORS = ("sm_80", "sm_90", "sm_100")
BOTH_TYPES = ("float32", "float64")

every_kind = pytest.mark.parametrize("kind", FORMULAS)
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])


def compile_everywhere(made: Program) -> None:
    """Compile for all processors and types; each vector is moved 16 bytes at a time."""
    for dtype in BOTH_TYPES:
        for processor in PROCESSORS:
            code, text = compile_cubin(cuda_source(made, dtype), OPTIONS, processor)
            assert len(code) > 1000
            for kind, names in (("ld", made.loads), ("st", made.stores)):
                wide = re.findall(rf"{kind}\.global(?:\.nc)?\.v[24]", text)
                assert len(wide) >= len(names)


@every_kind
@with_and_without_decay
def test_cuda_source_of_every_update_compiles(kind: type, weight_decay: float) -> None:
    """The change alone and applied and measured, for each kind of processor, without a warning."""
    optimizer = kind(weight_decay=weight_decay)
    compile_everywhere(update_program(optimizer, applies=False, measures=False))
    compile_everywhere(update_program(optimizer, applies=True, measures=True))


def test_cuda_source_of_the_squared_norm_compiles() -> None:
    """A program without a line, which only measures."""
    compile_everywhere(program((), memory=("vector",), stores=(), measured="vector"))


def run_element(source: str, values: dict[str, Any]) -> dict[str, Any]:
    """Run the lines between the braces of ``element``, which are Python too, and return names."""
    body = re.search(r"element = \[&\]\(.*?\) \{(.*?)\};", source, re.DOTALL)
    assert body
    lines = [line.strip() for line in body[1].split(";") if line.strip()]
    names = {**values, "sqrt": np.sqrt}
    for line in lines:
        if not line.startswith(("real ", "return ")):
            exec(line, {}, names)
    return names


@every_kind
@with_and_without_decay
@pytest.mark.parametrize("dtype", BOTH_TYPES)
def test_cuda_source_computes_what_the_optimizer_does(
    kind: type, weight_decay: float, dtype: str
) -> None:
    """The text's own lines, run on NumPy's numbers over several steps, give the same bits."""
    optimizer, num = kind(weight_decay=weight_decay), 101
    made = update_program(optimizer, applies=True, measures=False)
    source, random = cuda_source(made, dtype), np.random.default_rng()
    state, own = (optimizer.init(num, dtype, np) for _ in range(2))
    parameters = random.standard_normal(num).astype(dtype)
    for clock in range(4):
        gradient = random.standard_normal(num).astype(dtype)
        scalars = update_scalars(optimizer, 0.03, clock, 1 / 3, 0.7)
        typed = {name: np.dtype(dtype).type(value) for name, value in scalars.items()}
        names = run_element(
            source, {**typed, **own, "gradient": gradient, "parameters": parameters}
        )
        own = {name: names[name] for name in own}
        change, scaled = np.empty(num, dtype), gradient * typed["gradient_factor"]
        optimizer.update_into(state, scaled, parameters, 0.03, clock, change)
        parameters = parameters + change * typed["factor"]
        np.testing.assert_array_equal(names["parameters"], parameters)
