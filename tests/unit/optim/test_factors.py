from __future__ import annotations

import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.names import make_factor
from mpitrain.plan import make_plan

TAUS = (0, 1, 3, 4, 6, 99)
WANTED = {
    "none": (1, 1, 1, 1, 1, 1),
    "inverse": (1, 1, 1 / 3, 1 / 4, 1 / 6, 1 / 99),
    "inverse_sqrt": (1, 0.5**0.5, 1 / 2, 0.2**0.5, 7**-0.5, 1 / 10),
    "polynomial": (1, 2**-0.75, 4**-0.75, 5**-0.75, 7**-0.75, 100**-0.75),
    "hinge": (1, 1, 1, 1 / 3.5, 1 / 8.5, 1 / 241),
}
SETTINGS = {"power": 0.75, "hinge_slope": 2.5, "hinge_start": 3.0}


@pytest.mark.parametrize("name", WANTED)
def test_factors_are_their_formulas(name: str) -> None:
    """By hand."""
    settings = from_mapping({"staleness": {"factor": name, **SETTINGS}}).staleness
    found = [make_factor(settings, 4)(tau) for tau in TAUS]
    assert found == pytest.approx(WANTED[name], rel=1e-14)


@pytest.mark.parametrize("name", [name for name in WANTED if name != "none"])
@pytest.mark.parametrize(("mean", "size", "at"), [(None, 4, 3), (6.0, 4, 6), (None, 1, 0)])
def test_normalized_factor_is_one_at_the_mean(
    name: str, mean: float | None, size: int, at: int
) -> None:
    """The mean is given, or that of equal ranks; everything is divided by the same number."""
    given = {"factor": name, **SETTINGS, "normalize": True, "mean": mean}
    settings = from_mapping({"staleness": given}).staleness
    factor, plain = make_factor(settings, size), dict(zip(TAUS, WANTED[name], strict=True))
    assert factor(at) == pytest.approx(1.0, rel=1e-14)
    assert factor(99) == pytest.approx(plain[99] / plain[at], rel=1e-14)


def test_factor_between_whole_numbers_is_a_straight_line() -> None:
    """A mean staleness need not be whole."""
    given = {"factor": "inverse", "normalize": True, "mean": 3.25}
    factor = make_factor(from_mapping({"staleness": given}).staleness, 4)
    assert factor(4) == pytest.approx((1 / 4) / (0.75 / 3 + 0.25 / 4), rel=1e-14)


def test_factor_of_nothing_is_not_divided_by() -> None:
    """A power so large that the factor is 0 is a mistake, seen before a run begins."""
    tables = {
        "data": {"source": "synthetic"},
        "mode": {"kind": "asp"},
        "staleness": {"factor": "polynomial", "power": 1e4, "normalize": True},
    }
    with pytest.raises(UserError, match=r"factor at the mean staleness 3: it is 0 as computed"):
        make_plan(from_mapping(tables), 4)
    make_plan(from_mapping(tables), 1)
    make_plan(from_mapping(tables | {"mode": {"kind": "bsp"}}), 4)
