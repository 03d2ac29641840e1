"""CUDA without a device: every source compiles, and its arithmetic is run line by line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.cuda_source import OPTIONS, cuda_source
from mpitrain.kernels.program import Program, program
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.fused import NOTHING, update_program, update_scalars
from tests.unit.kernels.lines import run_lines
from tests.unit.kernels.nvrtc import compile_cubin
from tests.unit.optim.test_fused import COMPENSATIONS, OPTIMIZERS
from tests.unit.optim.updates import plain_update

PROCESSORS = ("sm_80", "sm_90", "sm_100")
BOTH_TYPES = ("float32", "float64")

every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
every_compensation = pytest.mark.parametrize("correction", COMPENSATIONS)
with_and_without_decay = pytest.mark.parametrize("weight_decay", [0.0, 0.1])


def compile_everywhere(made: Program) -> None:
    """Compile for all processors and types; each vector is moved 16 bytes at a time."""
    for dtype in BOTH_TYPES:
        for processor in PROCESSORS:
            options = (*OPTIONS, "-ftz=true")  # which CuPy appends
            code, text = compile_cubin(cuda_source(made, dtype), options, processor)
            assert len(code) > 1000
            assert ".local" not in text  # no pack goes through memory
            # squares are summed by operations of the compiler's choice
            assert (".ftz" in text) == (made.measured is not None and dtype == "float32")
            for kind, names in (("ld", made.loads), ("st", made.stores)):
                wide = re.findall(rf"{kind}\.global(?:\.nc)?\.v[24]", text)
                assert len(wide) >= len(names)


@every_optimizer
@with_and_without_decay
def test_cuda_source_of_every_update_compiles(name: str, weight_decay: float) -> None:
    """The change alone and applied and measured, for each kind of processor, without a warning."""
    optimizer = OPTIMIZERS[name](weight_decay)
    compile_everywhere(update_program(optimizer))
    compile_everywhere(update_program(optimizer, applies=True, measures=True))


@every_compensation
@with_and_without_decay
def test_cuda_source_of_every_compensation_compiles(correction: str, weight_decay: float) -> None:
    """In one pass with an optimiser; the first and the second part alone."""
    optimizer, compensation = OPTIMIZERS["momentum"](weight_decay), COMPENSATIONS[correction](0.1)
    compile_everywhere(update_program(optimizer, compensation, measures=True))
    compile_everywhere(update_program(optimizer, compensation, finishes=False))
    compile_everywhere(update_program(optimizer, compensation, begins=False))


def test_cuda_source_of_prediction_and_squared_norm_compiles() -> None:
    """A program without a line, which only measures, is one too."""
    compile_everywhere(program("", memory=("vector",), stores=(), measured="vector"))
    text = COMPENSATIONS["prediction"](0.0).predict
    memory = ("parameters", "compensation_ahead")
    compile_everywhere(program(text, memory=memory, stores=("parameters",)))


OPERATIONS = {
    "multiply": np.multiply,
    "add": np.add,
    "subtract": np.subtract,
    "divide": np.divide,
    "square_root": np.sqrt,
    "magnitude": np.absolute,
    "smaller": np.minimum,
}


@every_optimizer
@every_compensation
@with_and_without_decay
@pytest.mark.parametrize("dtype", BOTH_TYPES)
def test_cuda_source_computes_the_plain_formula(
    name: str, correction: str, weight_decay: float, dtype: str
) -> None:
    """The text's own lines, run on NumPy's numbers over several steps, give the same bits."""
    optimizer, num = OPTIMIZERS[name](weight_decay), 101
    compensation: Compensation = COMPENSATIONS[correction](weight_decay)
    source, random = (
        cuda_source(update_program(optimizer, compensation), dtype),
        np.random.default_rng(),
    )
    states = (*optimizer.state_names, *compensation.state_names)
    own: dict[str, Any] = {state: np.zeros(num, dtype) for state in states}
    plain = dict(own)
    for clock in range(4):
        fresh = {
            vector: random.standard_normal(num).astype(dtype)
            for vector in ("gradient", "parameters", "present")
        }
        scalars = {
            **update_scalars(optimizer, 0.03, clock, 1 / 3),
            **compensation.scalars(3, clock),
            "factor": 0.7,
        }
        typed = {key: np.dtype(dtype).type(value) for key, value in scalars.items()}
        names = run_lines(source, "element", {**OPERATIONS, **typed, **own, **fresh})
        own = {state: names[state] for state in states}
        plain |= fresh
        plain_update(optimizer, compensation, plain, scalars, dtype)
        for vector in ("change", *states):
            np.testing.assert_array_equal(names[vector], plain[vector])


@pytest.mark.parametrize(
    ("name", "decay", "change", "applied"),
    [("sgd", 0, 2, 3), ("momentum", 0, 4, 5), ("adam", 0, 6, 7), ("adamw", 0.1, 7, 7)],
)
def test_update_moves_no_vector_more_than_it_must(
    name: str, decay: float, change: int, applied: int
) -> None:
    """Parameters are read only for decay or to be added to; then no change is written."""
    optimizer = OPTIMIZERS[name](decay)
    assert update_program(optimizer).num_moved == change
    assert update_program(optimizer, applies=True).num_moved == applied


@pytest.mark.parametrize(
    ("correction", "extra"),
    [
        ("none", 0),
        ("dc_asgd_c", 2),  # present and read
        ("gap_aware", 4),  # and the mean of squares, read and written
        ("dc_asgd_a", 4),
        ("dana_slim", 2),  # its velocity, read and written
        ("prediction", 1),  # written for the next time
    ],
)
def test_compensation_moves_only_what_it_must_read_and_learn(correction: str, extra: int) -> None:
    """In the pass that there is anyway."""
    optimizer, compensation = OPTIMIZERS["momentum"](0.0), COMPENSATIONS[correction](0.0)
    plain = update_program(optimizer, NOTHING).num_moved
    assert update_program(optimizer, compensation).num_moved == plain + extra
