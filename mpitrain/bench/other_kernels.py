"""What the loss and the casts cost, beside a copy of as many bytes as they must move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mpitrain.bench.timing import Action, Copy, row, times_of
from mpitrain.core.arrays import Array
from mpitrain.kernels.cast import NARROW_TYPES, Cast, cast_bytes
from mpitrain.kernels.cross_entropy import gradient_bytes
from mpitrain.models.loss import SoftmaxCrossEntropy

CLASSES = (10, 1000)  # small classifiers, ImageNet


def other_kernels(xp: Any, mib: int) -> Iterator[dict[str, Any]]:
    """Yield one row per kernel.

    Args:
        xp: array module of the vectors.
        mib: size of the scores and of the float32 vectors.
    """
    copy = Copy(xp, mib << 22)
    for num_classes in CLASSES:
        yield {
            "kernel": "cross_entropy",
            "form": f"{num_classes} classes",
            **_cross_entropy(xp, copy, (mib << 20) // (4 * num_classes), num_classes),
        }
    for kind in NARROW_TYPES:
        for form in ("narrow", "widen"):
            yield {"kernel": kind, "form": form, **_cast(xp, copy, kind, form, (mib << 20) // 4)}


def _cross_entropy(xp: Any, copy: Copy, num_rows: int, num_classes: int) -> dict[str, Any]:
    random = np.random.default_rng(0)
    logits = xp.asarray(random.standard_normal((num_rows, num_classes), np.float32))
    labels = xp.asarray(random.integers(0, num_classes, num_rows))
    out, index = xp.empty_like(logits), xp.arange(num_rows)
    loss, num_bytes = (
        SoftmaxCrossEntropy(num_classes, np.float32),
        gradient_bytes(num_rows, num_classes, np.float32),
    )
    actions: dict[str, Action] = {
        "fused": lambda: loss.loss_and_gradient(logits, labels, out),
        "copy": copy.of(num_bytes),
        "unfused": lambda: _plain_cross_entropy(xp, logits, labels, index),
    }
    return row(times_of(xp, actions), num_bytes)


def _plain_cross_entropy(xp: Any, logits: Array, labels: Array, index: Array) -> Array:
    """Return the gradient as one writes it down, and compute the loss."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = xp.exp(shifted)
    sums = powers.sum(axis=1, keepdims=True)
    gradient = powers / sums
    float((xp.log(sums[:, 0]) - shifted[index, labels]).sum())
    gradient[index, labels] -= 1
    return gradient


def _cast(xp: Any, copy: Copy, kind: str, form: str, num: int) -> dict[str, Any]:
    cast, narrow_type = Cast(kind, xp), NARROW_TYPES[kind]
    wide = xp.asarray(np.random.default_rng(0).standard_normal(num, np.float32))
    narrow, shifted = xp.empty(num, narrow_type), xp.empty(num, np.uint32)
    cast.narrow_into(wide, narrow)
    out = xp.empty_like(wide)

    def plain() -> None:
        """Cast without rounding bfloat16: NumPy has none."""
        if kind == "float16":
            xp.copyto(*((narrow, wide) if form == "narrow" else (out, narrow)), casting="same_kind")
        elif form == "narrow":
            xp.right_shift(wide.view(np.uint32), 16, out=shifted)
            xp.copyto(narrow, shifted, casting="same_kind")
        else:
            xp.copyto(shifted, narrow)
            xp.left_shift(shifted, 16, out=out.view(np.uint32))

    actions: dict[str, Action] = {
        "fused": lambda: (
            cast.narrow_into(wide, narrow) if form == "narrow" else cast.widen_into(narrow, out)
        ),
        "copy": copy.of(cast_bytes(num)),
        "unfused": plain,
    }
    return row(times_of(xp, actions), cast_bytes(num))
