from __future__ import annotations

import pytest

from mpitrain.bench.kernels import FORMS, measure


def test_bench_kernels_measures_every_kernel_beside_its_floor() -> None:
    """A row for the norm and for each form of each optimiser: times, a rate, both ratios."""
    rows = list(measure(1))
    moved = {
        "sgd": (2, 3),
        "momentum": (4, 5),
        "nesterov": (4, 5),
        "adam": (6, 7),
        "adamw": (7, 7),
        "adagrad": (4, 5),
        "rmsprop": (4, 5),
    }
    forms = [(kind, form, moved[kind][form != "change"]) for kind in moved for form in FORMS]
    expected = [("squared_norm", None, 1), *forms]
    assert [(row["kernel"], row.get("form"), row["vectors_moved"]) for row in rows] == expected
    for row in rows:
        assert row["mib"] == 1
        assert row["unfused_us"] > 0
        assert row["of_copy"] == row["copy_us"] / row["fused_us"]
        seconds = row["fused_us"] * 1e-6
        assert row["fused_gb_s"] * 1e9 * seconds == pytest.approx(row["vectors_moved"] << 20)
