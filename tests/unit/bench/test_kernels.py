from __future__ import annotations

import pytest

from mpitrain.bench.kernels import measure


def test_bench_kernels_measures_every_kernel_beside_its_floor() -> None:
    """A row for the norm, each form of each optimiser, each compensation, on both twins."""
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
    forms = ("change", "apply", "apply_norm")
    expected = [
        ("squared_norm", None, 1),
        *((kind, form, moved[kind][form != "change"]) for kind in moved for form in forms),
        ("momentum gapaware", "shard", 8),
        ("momentum dcasgdc", "shard", 6),
        ("momentum dcasgda", "shard", 8),
        ("sgd danaslim", "shard", 4),
    ]
    twins = [row["twin"].partition(" ")[0] for row in rows]
    assert twins == ["numpy"] * len(expected) + ["numba"] * len(expected)
    found = [(row["kernel"], row.get("form"), row["vectors_moved"]) for row in rows]
    assert found == expected * 2
    for row in rows:
        assert row["mib"] == 1
        assert row["unfused_us"] > 0
        assert row["of_copy"] == row["copy_us"] / row["fused_us"]
        seconds = row["fused_us"] * 1e-6
        assert row["fused_gb_s"] * 1e9 * seconds == pytest.approx(row["vectors_moved"] << 20)
