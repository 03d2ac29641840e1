from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.program import Program, program
from mpitrain.kernels.twins import Twin

MEMORY = ("a", "b", "c")
PLAIN = {
    "*": np.multiply,
    "+": np.add,
    "-": np.subtract,
    "/": np.divide,
    "sqrt": np.sqrt,
    "abs": np.absolute,
    "min": np.minimum,
}
FUNCTIONS = {"sqrt": np.sqrt, "abs": np.absolute, "min": np.minimum}


def run_one_by_one(made: Program, values: dict[str, Any]) -> None:
    """Run the operations on numbers."""
    for op in made.operations:
        values[op.target] = PLAIN[op.symbol](*(values[name] for name in op.operands))


def test_program_finds_what_is_read_written_and_inner() -> None:
    """Names are vectors, inner ones or scalars by how the lines use them."""
    text = """
        a = a * f
        t = a + b
        c = t / d
        b = sqrt(c)
    """
    memory = ("a", "b", "c", "unused")
    made = program(text, memory=memory, stores=("c", "b"), measured="t")
    assert made.vectors == ("a", "b", "c")
    assert made.loads == ("a", "b")
    assert made.stores == ("c", "b")
    assert made.locals == ("a", "t")
    assert made.scalars == ("f", "d")
    assert made.num_moved == 4


def test_program_leaves_out_only_multiplications_by_one() -> None:
    """What could change a bit stays: sums, divisions, and products into another name."""
    text = "a = a * f\nt = a * f\na = a + f\na = a / f\na = a * g"
    made = program(text, memory=("a",), stores=("a",))
    assert made.without_ones(("f",)) == made.operations[1:]


@pytest.mark.parametrize(
    "line", ["a = b", "a = exp(b)", "a = b ** c", "a = b * 2.0", "a = min(b)", "a += b", "a = -b"]
)
def test_program_knows_operations_that_round_alike_everywhere(line: str) -> None:
    """Anything else would round differently on the two sides, or says nothing."""
    with pytest.raises(AssertionError, match=r"."):
        program(line, memory=MEMORY, stores=("a",))


def lines() -> list[str]:
    """Return nested expressions of all shapes, with the target among the operands or not."""
    leaves = ["a * b", "sqrt(abs(a))", "min(a, b)", "b - a", "a", "c"]
    made = []
    for one, two in itertools.product(leaves, repeat=2):
        for symbol in "+-*/":
            made.append(f"a = ({one}) {symbol} ({two})")
            made.append(f"c = (b {symbol} ({one})) * ({two}) - (({two}) + a) * ({one})")
    return made


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_expression_taken_apart_is_the_expression(first: int) -> None:
    """No inner result is lost and no old value is overwritten too early, whatever is nested."""
    random = np.random.default_rng()
    for line in lines()[first::4]:
        values: dict[str, Any] = dict(zip(MEMORY, random.uniform(1, 2, 3), strict=True))
        expected = eval(line.partition("=")[2], {**FUNCTIONS}, dict(values))
        run_one_by_one(program(line, memory=MEMORY, stores=()), values)
        assert values[line[0]] == expected, line


def test_expressions_share_inner_names() -> None:
    """Long formulas need little scratch: it has to fit into the cache."""
    text = "a = (a + b) * (a - b) + (b + c) * (b - c) + (c + a) * (c - a)\n" * 3
    made = program(text, memory=MEMORY, stores=("a",))
    assert set(made.locals) == {"inner1", "inner2", "inner3"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_is_the_same_bits_on_each_twin(twin: Twin, dtype: str) -> None:
    """Numbers of all sizes, subnormal ones, infinities and NaN."""
    info, xp, random = np.finfo(dtype), twin.xp, np.random.default_rng()
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny / 8, -info.tiny / 2, info.max]
    pairs = np.array(list(itertools.product(special, repeat=2))).T
    powers = random.uniform(info.minexp / 2, info.maxexp / 2, (2, 5000))
    drawn = np.exp2(powers) * random.choice([-1.0, 1.0], (2, 5000))
    one, two = np.concatenate([pairs, drawn], axis=1).astype(dtype)
    texts = [f"c = a {symbol} b" for symbol in "*+-/"]
    for text in [*texts, "c = sqrt(a)", "c = abs(a)"]:
        made = program(text, memory=MEMORY, stores=("c",))
        vectors = {"a": xp.asarray(one), "b": xp.asarray(two), "c": xp.full(len(one), 7, dtype)}
        with np.errstate(all="ignore"):
            twin.make(made, dtype).bind(vectors)({})
            expected = eval(text.partition("=")[2], {**FUNCTIONS}, {"a": one, "b": two})
        found = vectors["c"] if xp is np else vectors["c"].get()
        np.testing.assert_array_equal(found, expected, text)
        is_zero = expected == 0
        np.testing.assert_array_equal(np.signbit(found[is_zero]), np.signbit(expected[is_zero]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smaller_of_two_keeps_nan(twin: Twin, dtype: str) -> None:
    """A gap that is not a number must not look like one; the second is a scalar."""
    made, xp = program("a = min(a, f)", memory=("a",), stores=("a",)), twin.xp
    values = xp.asarray(np.array([np.nan, 1.0, 3.0, np.inf, -np.inf], dtype))
    twin.make(made, dtype).bind({"a": values})({"f": 2.0})
    np.testing.assert_array_equal(values.tolist(), [np.nan, 1.0, 2.0, 2.0, -np.inf])
