"""The cross-entropy's text without a device: it compiles, and its lines are run one by one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.cross_entropy_source import cross_entropy_source, teams_for
from mpitrain.kernels.cuda_source import OPTIONS
from tests.unit.kernels.lines import run_lines
from tests.unit.kernels.nvrtc import compile_cubin

AS_CUPY = (*OPTIONS, "-ftz=true")  # CuPy adds it to the options it is given
FEW, MANY = teams_for(10), teams_for(50257)

both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


@both_types
@pytest.mark.parametrize("teams", [FEW, MANY], ids=["warps", "blocks"])
@pytest.mark.parametrize("processor", ["sm_80", "sm_90", "sm_100"])
def test_cross_entropy_source_compiles(dtype: str, teams: Any, processor: str) -> None:
    """Without a warning; scores are moved 16 bytes at a time and stay in registers."""
    code, text = compile_cubin(cross_entropy_source(dtype, teams), AS_CUPY, processor)
    assert len(code) > 1000
    lanes = {"float32": "v4", "float64": "v2"}[dtype]
    assert len(re.findall(rf"ld\.global(?:\.nc)?\.{lanes}", text)) >= 4  # three walks and the count
    assert len(re.findall(rf"st\.global\.{lanes}", text)) == 1
    assert ".local" not in text


@both_types
def test_cross_entropy_source_computes_in_the_type_of_the_scores(dtype: str) -> None:
    """No power or quotient of float32 is taken in float64, which is many times slower."""
    _, text = compile_cubin(cross_entropy_source(dtype, FEW), AS_CUPY, "sm_90")
    kinds = {kind for _, kind in re.findall(r"(div\.rn|fma\.rn)\S*\.(f32|f64)", text)}
    assert kinds == {"float32": {"f32"}, "float64": {"f64"}}[dtype]


@both_types
@pytest.mark.parametrize("num_classes", [*range(1, 18), 1000, 1001, 50257])
def test_cross_entropy_source_walks_every_score_of_a_row_once(dtype: str, num_classes: int) -> None:
    """Packs start at multiples of 16 bytes in every row; without packs all is single."""
    source, width = cross_entropy_source(dtype, FEW), 16 // np.dtype(dtype).itemsize
    names = {"min": np.minimum, "width": width, "num_classes": num_classes}
    for row in (*range(9), 10**9):
        for has_packs in (True, False):
            cut = run_lines(source, "cut_row", {**names, "row": row, "has_packs": has_packs})
            assert cut["start"] == row * num_classes
            assert cut["num_single"] + cut["num_packs"] * width == num_classes
            assert 0 <= cut["head"] <= cut["num_single"]
            if has_packs:
                assert cut["num_packs"] == 0 or (cut["start"] + cut["head"]) % width == 0
                assert cut["num_single"] <= 2 * (width - 1)
            else:
                assert (cut["head"], cut["num_packs"]) == (num_classes, 0)


@both_types
def test_cross_entropy_source_computes_loss_and_gradient(dtype: str) -> None:
    """The text's own lines, score after score, are near the definition in float64."""
    source, random = cross_entropy_source(dtype, FEW), np.random.default_rng()
    for num_classes in (1, 2, 10, 33):
        row = (random.standard_normal(num_classes) * 5).astype(dtype)
        label, columns = random.integers(num_classes), np.arange(num_classes)
        names: dict[str, Any] = {"fmax": np.fmax, "exp": np.exp, "label": label}
        names |= {"highest": row.dtype.type(-np.inf), "powers": row.dtype.type(0)}
        for name in ("raise_highest", "add_power"):
            for score in row:
                names = run_lines(source, name, {**names, "score": score})
        assert names["highest"] == row.max()
        names |= {"log_powers": np.log(names["powers"]), "loss": row.dtype.type(0)}
        names = run_lines(source, "to_slope", {**names, "score": row, "column": columns})

        powers = np.exp(row.astype(float))
        shares = powers / powers.sum()
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(names["score"], shares - (columns == label), atol=40 * eps)
        assert names["score"].dtype == dtype
        loss = -np.log(shares[label])
        assert names["loss"].sum() == pytest.approx(loss, abs=40 * eps * (1 + loss))
        assert np.count_nonzero(names["loss"]) <= 1


@both_types
def test_cross_entropy_source_counts_as_numpy_does(dtype: str) -> None:
    """A label is beaten unless it is where NumPy finds the largest, NaN and ties included."""
    source, random = cross_entropy_source(dtype, FEW), np.random.default_rng()
    values = np.array([0.0, -0.0, 1.0, -np.inf, np.inf, np.nan], dtype)
    for _ in range(300):
        row = random.choice(values, random.integers(1, 5))
        for label, picked in enumerate(row):
            names = {"picked": picked, "label": label, "is_beaten": np.zeros(len(row), bool)}
            names |= {"score": row, "column": np.arange(len(row))}
            beaten = run_lines(source, "compare", names)["is_beaten"]
            assert beaten.any() == (row.argmax() != label)
