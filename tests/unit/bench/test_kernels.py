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
    num_others = 6
    num = len(expected)
    assert twins == ["numpy"] * num + ["numba"] * num + ["numpy"] * num_others
    found = [(row["kernel"], row.get("form"), row.get("vectors_moved")) for row in rows]
    assert found[:-num_others] == expected * 2
    assert [about[:2] for about in found[-num_others:]] == [
        ("cross_entropy", "10 classes"),
        ("cross_entropy", "1000 classes"),
        ("float16", "narrow"),
        ("float16", "widen"),
        ("bfloat16", "narrow"),
        ("bfloat16", "widen"),
    ]
    for row in rows:
        assert row["mib"] == 1
        assert row["unfused_us"] > 0
        assert row["of_copy"] == row["copy_us"] / row["fused_us"]
        num_bytes = row["fused_gb_s"] * 1e9 * row["fused_us"] * 1e-6
        if "vectors_moved" in row:
            assert num_bytes == pytest.approx(row["vectors_moved"] << 20)
