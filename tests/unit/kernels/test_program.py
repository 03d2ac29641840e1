from __future__ import annotations

import pytest

from mpitrain.kernels.formulas import FORMULAS, update_program, update_scalars
from mpitrain.kernels.program import program
from mpitrain.optim.adam import Adam
from mpitrain.optim.adamw import AdamW
from mpitrain.optim.momentum import Momentum
from mpitrain.optim.sgd import Sgd


def test_program_finds_what_is_read_written_and_inner() -> None:
    """Names are vectors, inner ones or scalars by how the lines use them."""
    made = program(
        ["a = a * f", "t = a + b", "c = t / d", "b = sqrt(c)"],
        memory=("a", "b", "c", "unused"),
        stores=("c", "b"),
        measured="t",
    )
    assert made.vectors == ("a", "b", "c")
    assert made.loads == ("a", "b")
    assert made.stores == ("c", "b")
    assert made.locals == ("a", "t")
    assert made.scalars == ("f", "d")


def test_program_leaves_out_only_multiplications_by_one() -> None:
    """What could change a bit stays: sums, divisions, and products into another name."""
    lines = ["a = a * f", "t = a * f", "a = a + f", "a = a / f", "a = a * g"]
    made = program(lines, memory=("a",), stores=("a",))
    assert [op.text for op in made.without_ones(("f",))] == lines[1:]


@pytest.mark.parametrize(
    "line", ["a = b", "a = b * c + d", "a = exp(b)", "a = b ** c", "a = b * 2."]
)
def test_program_knows_one_operation_a_line(line: str) -> None:
    """Anything else would round differently on the two sides."""
    with pytest.raises(AssertionError, match=r"."):
        program([line], memory=("a",), stores=("a",))


@pytest.mark.parametrize(
    ("optimizer", "change", "applied"),
    [
        (Sgd(), 2, 3),
        (Momentum(), 4, 5),
        (Adam(), 6, 7),
        (AdamW(), 7, 7),
        (Momentum(0.9, 0.1), 5, 5),
    ],
)
def test_update_moves_no_vector_more_than_it_must(
    optimizer: Momentum, change: int, applied: int
) -> None:
    """Parameters are read only for decay or to be added to; then no change is written."""
    for moved, applies in ((change, False), (applied, True)):
        made = update_program(optimizer, applies=applies, measures=False)
        assert len(made.loads) + len(made.stores) == moved


@pytest.mark.parametrize("kind", FORMULAS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_update_has_a_value_for_every_scalar(kind: type, weight_decay: float) -> None:
    """No line names what nobody gives."""
    optimizer = kind(weight_decay=weight_decay)
    made = update_program(optimizer, applies=True, measures=True)
    assert set(made.scalars) <= set(update_scalars(optimizer, 0.1, 3, 0.5, 0.25))
    assert set(made.vectors) == {"gradient", "parameters", *optimizer.state_names}
