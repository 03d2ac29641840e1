"""What the device's cross-entropy promises, on a GPU and on a CPU that stands for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mpitrain.kernels.cross_entropy import DeviceCrossEntropy, count_bytes, gradient_bytes, packed
from mpitrain.kernels.cross_entropy_source import LONG_ROW, Teams, teams_for
from mpitrain.models.loss import SoftmaxCrossEntropy

both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = [
    *((num_rows, num_classes) for num_classes in (1, 2, 3, 4, 10, 33) for num_rows in (1, 6, 67)),
    *((num_rows, num_classes) for num_classes in (128, 1000, 1001) for num_rows in (1, 5)),
    *((num_rows, num_classes) for num_classes in (LONG_ROW, 50257) for num_rows in (1, 3)),
]
every_shape = pytest.mark.parametrize(("num_rows", "num_classes"), SHAPES)


def reference(logits: Any, labels: Any) -> tuple[Any, float]:
    """Return gradient and summed loss, computed by the definition in float64."""
    scores = logits.astype(float)
    scores -= scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    sums = powers.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    gradient = powers / sums
    gradient[rows, labels] -= 1
    return gradient, math.fsum(np.log(sums[:, 0]) - scores[rows, labels])


def tolerance(num_classes: int, dtype: str) -> float:
    """Return how far a share, and a row's loss beyond its own rounding, may be off.

    A thread adds C / team powers one after the other, the team its threads' sums; a power, the
    division and what is taken off a score cost a few roundings more.
    """
    return (10 + num_classes / teams_for(num_classes).team) * float(np.finfo(dtype).eps)


class Computed:
    """One call on arrays of its own, into results full of NaN."""

    def __init__(self, device: Any, logits: Any, labels: Any, *, in_place: bool = False) -> None:
        """Compute gradient, loss and the number of correct rows."""
        kernels = DeviceCrossEntropy(logits.shape[1], logits.dtype)
        scores, classes = device.asarray(logits), device.asarray(labels)
        loss, count = device.full(1, np.nan), device.full(1, np.nan)
        slopes = scores if in_place else device.full(logits.shape, np.nan, logits.dtype)
        kernels.count_correct_into(scores, classes, count)
        kernels.loss_and_gradient_into(scores, classes, slopes, loss)
        self.gradient, self.scores = device.asnumpy(slopes), device.asnumpy(scores)
        self.loss, self.num_correct = float(loss.item()), float(count.item())


@both_types
@every_shape
def test_cross_entropy_is_near_the_definition_in_float64(
    device: Any, dtype: str, num_rows: int, num_classes: int
) -> None:
    """Gradient, loss and count; scores are left alone, or written over with the same bits."""
    random = np.random.default_rng()
    logits = (random.standard_normal((num_rows, num_classes)) * 5).astype(dtype)
    labels = random.integers(0, num_classes, num_rows)
    apart = Computed(device, logits, labels)
    gradient, loss = reference(logits, labels)
    allowed = tolerance(num_classes, dtype)
    np.testing.assert_allclose(apart.gradient, gradient, rtol=0, atol=allowed)
    assert abs(apart.loss - loss) <= num_rows * allowed + 4 * np.finfo(dtype).eps * loss
    assert apart.num_correct == (logits.argmax(axis=1) == labels).sum()
    np.testing.assert_array_equal(apart.scores, logits)

    in_place = Computed(device, logits, labels, in_place=True)
    np.testing.assert_array_equal(in_place.gradient, apart.gradient)
    assert in_place.loss == apart.loss


@both_types
@pytest.mark.parametrize("num_classes", [3, 10, LONG_ROW + 1])
def test_cross_entropy_stands_extreme_scores(device: Any, dtype: str, num_classes: int) -> None:
    """Neither 1e30 nor minus infinity beside the label overflows; equal scores share equally."""
    last = num_classes - 1
    logits = np.zeros((4, num_classes), dtype)
    logits[0, 0], logits[0, last] = 1e30, -1e30
    logits[1, 0], logits[1, last] = -1e30, 1e30
    logits[3, 0] = -np.inf
    labels = np.array([0, 0, last, last])
    made = Computed(device, logits, labels)
    gradient, loss = reference(logits, labels)
    allowed = tolerance(num_classes, dtype)
    np.testing.assert_allclose(made.gradient, gradient, rtol=0, atol=allowed)
    assert made.loss == pytest.approx(loss, rel=1e-6)
    assert made.gradient[3, 0] == 0
    assert made.num_correct == 1  # the first; the last but one is a tie that the first class wins

    alone = Computed(device, logits[2:], labels[2:])
    expected = math.log(num_classes) + math.log(num_classes - 1)
    assert alone.loss == pytest.approx(expected, abs=2 * allowed + 1e-6 * (dtype == "float32"))


@both_types
def test_cross_entropy_of_an_impossible_label_is_infinite(device: Any, dtype: str) -> None:
    """Where the label's score is minus infinity; the gradient is still a number."""
    made = Computed(device, np.array([[0, -np.inf]], dtype), np.array([1]))
    assert made.loss == np.inf
    np.testing.assert_array_equal(made.gradient, [[1, -1]])


@both_types
@pytest.mark.parametrize("num_classes", [2, 40, LONG_ROW])
def test_cross_entropy_does_not_hide_what_is_not_a_number(
    device: Any, dtype: str, num_classes: int
) -> None:
    """NaN anywhere in a row, and infinity, make loss and row NaN, and no other row."""
    for bad in (np.nan, np.inf):
        logits = np.zeros((2, num_classes), dtype)
        logits[0, num_classes - 1] = bad
        made = Computed(device, logits, np.zeros(2, np.int64))
        assert math.isnan(made.loss)
        assert np.isnan(made.gradient[0]).all()
        assert np.isfinite(made.gradient[1]).all()


@both_types
@pytest.mark.parametrize("num_classes", [2, 5, 40, LONG_ROW])
def test_cross_entropy_of_a_confident_row_keeps_its_digits(
    device: Any, dtype: str, num_classes: int
) -> None:
    """A small loss among large scores is never below 0 and no rounding noise."""
    logits = np.full((1, num_classes), 100, dtype)
    logits[0, 1] = 110
    made = Computed(device, logits, np.array([1]))
    others = (num_classes - 1) * math.exp(-10)
    assert made.loss == pytest.approx(
        math.log1p(others), abs=tolerance(num_classes, dtype) * (1 + others)
    )
    sure = np.full((1, num_classes), -1000, dtype)
    sure[0, 1] = 0
    assert Computed(device, sure, np.array([1])).loss == 0


@both_types
@pytest.mark.parametrize("num_classes", [1, 2, 3, 7, 40, LONG_ROW + 3])
def test_count_of_correct_rows_is_numpys(device: Any, dtype: str, num_classes: int) -> None:
    """Among many ties, infinities and NaN, wherever the label is."""
    random = np.random.default_rng()
    values = np.array([0.0, -0.0, 1.0, -np.inf, np.inf, np.nan], dtype)
    for weights in ([0.2, 0.2, 0.6, 0, 0, 0], [0.1, 0.1, 0.1, 0.3, 0.2, 0.2]):
        logits = random.choice(values, (60, num_classes), p=weights)
        largest = logits.argmax(axis=1)
        labels = np.where(random.random(60) < 0.5, largest, random.integers(0, num_classes, 60))
        made = Computed(device, logits, labels)
        assert made.num_correct == (largest == labels).sum()


@both_types
@pytest.mark.parametrize(("most_blocks", "num_rows"), [(1, 45), (3, 45), (8192, 75)])
def test_cross_entropy_reaches_all_rows_when_they_are_more_than_teams(
    device: Any, monkeypatch: pytest.MonkeyPatch, dtype: str, most_blocks: int, num_rows: int
) -> None:
    """Few blocks walk many rows in strides, and few threads add the sums of many blocks."""
    monkeypatch.setattr("mpitrain.kernels.cross_entropy.teams_for", lambda _: Teams(32, 32))
    monkeypatch.setattr("mpitrain.kernels.cross_entropy_source.MOST_BLOCKS", most_blocks)
    random = np.random.default_rng()
    logits = random.standard_normal((num_rows, 5)).astype(dtype)
    labels = random.integers(0, 5, num_rows)
    gradient, loss = reference(logits, labels)
    made = Computed(device, logits, labels)
    np.testing.assert_allclose(made.gradient, gradient, rtol=0, atol=tolerance(5, dtype))
    assert made.loss == pytest.approx(loss, rel=1e-5 if dtype == "float32" else 1e-14)
    assert made.num_correct == (logits.argmax(axis=1) == labels).sum()


@both_types
@pytest.mark.parametrize("num_classes", [10, LONG_ROW])
def test_cross_entropy_of_arrays_that_start_anywhere(
    device: Any, dtype: str, num_classes: int
) -> None:
    """Rows cut out of larger arrays; nothing is written beside them."""
    random, kernels = np.random.default_rng(), DeviceCrossEntropy(num_classes, dtype)
    size = 5 * num_classes
    logits = random.standard_normal((5, num_classes)).astype(dtype)
    labels = random.integers(0, num_classes, 5)
    gradient, _ = reference(logits, labels)
    for offset, out_offset in ((1, 0), (0, 1), (3, 3)):
        memory = device.full(size + 4, np.nan, dtype)
        scores = memory[offset : offset + size].reshape(5, num_classes)
        scores[...] = device.asarray(logits)
        out = device.full(size + 4, np.nan, dtype)
        slopes = out[out_offset : out_offset + size].reshape(5, num_classes)
        kernels.loss_and_gradient_into(scores, device.asarray(labels), slopes, device.empty(1))
        made = device.asnumpy(out)
        assert np.isnan(made[:out_offset]).all()
        assert np.isnan(made[out_offset + size :]).all()
        np.testing.assert_allclose(
            device.asnumpy(slopes), gradient, rtol=0, atol=tolerance(num_classes, dtype)
        )


@both_types
def test_cross_entropy_gives_the_same_bits_again(device: Any, dtype: str) -> None:
    """Blocks may end in any order; the sum does not show it, call after call."""
    random = np.random.default_rng()
    logits = random.standard_normal((300, 10)).astype(dtype)
    labels = random.integers(0, 10, 300)
    kernels, losses = DeviceCrossEntropy(10, dtype), device.full((3, 1), np.nan)
    arrays = device.asarray(logits), device.asarray(labels)
    for loss in losses:
        kernels.loss_and_gradient_into(*arrays, device.empty(logits.shape, dtype), loss)
    assert len(set(device.asnumpy(losses)[:, 0])) == 1


def test_cross_entropy_names_the_array_that_does_not_fit(device: Any) -> None:
    """Another type, another shape and gaps are refused before anything is written."""
    kernels, loss = DeviceCrossEntropy(4, "float32"), device.full(1, np.nan)
    good, labels = device.zeros((6, 4), "float32"), device.zeros(6, np.int64)
    for bad in (
        device.zeros((6, 4)),
        device.zeros((6, 5), "float32"),
        device.zeros((6, 4), "f4").T,
    ):
        with pytest.raises(ValueError, match="logits must be contiguous, float32"):
            kernels.loss_and_gradient_into(bad, labels, good, loss)
        with pytest.raises(ValueError, match="out_gradient must be contiguous, float32"):
            kernels.loss_and_gradient_into(good, labels, bad, loss)
    for bad in (labels[:5], device.zeros(6, np.int32), device.zeros(12, np.int64)[::2]):
        with pytest.raises(ValueError, match=r"labels must be contiguous, int64 \(6,\)"):
            kernels.count_correct_into(good, bad, loss)
    with pytest.raises(ValueError, match="the result must be contiguous, float64"):
        kernels.count_correct_into(good, labels, device.zeros(1, "float32"))
    assert math.isnan(float(loss.item()))


@pytest.mark.gpu
def test_cross_entropy_allocates_nothing_on_a_device() -> None:
    """No step asks the memory pool for anything."""
    import cupy

    kernels, loss = DeviceCrossEntropy(10, "float32"), cupy.empty(1)
    logits, labels = cupy.ones((100, 10), "float32"), cupy.zeros(100, np.int64)
    kernels.loss_and_gradient_into(logits, labels, logits, loss)
    kernels.count_correct_into(logits, labels, loss)
    with cupy.cuda.using_allocator(_refuse):
        kernels.loss_and_gradient_into(logits, labels, logits, loss)
        kernels.count_correct_into(logits, labels, loss)


def _refuse(size: int) -> Any:
    msg = f"{size} bytes asked for"
    raise AssertionError(msg)


@both_types
def test_models_loss_uses_the_device_where_the_scores_are_there(
    device: Any, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Loss and count come back as numbers, near those of NumPy."""
    monkeypatch.setattr("mpitrain.models.loss.module_of", lambda array: device)
    random = np.random.default_rng()
    logits = random.standard_normal((9, 10)).astype(dtype)
    labels = random.integers(0, 10, 9)
    gradient, loss = reference(logits, labels)
    model_loss = SoftmaxCrossEntropy(10, dtype)
    scores, classes = device.asarray(logits), device.asarray(labels)
    assert model_loss.num_correct(scores, classes) == (logits.argmax(axis=1) == labels).sum()
    found = model_loss.loss_and_gradient(scores, classes, scores)
    assert found == pytest.approx(loss, rel=1e-5 if dtype == "float32" else 1e-14)
    np.testing.assert_allclose(device.asnumpy(scores), gradient, rtol=0, atol=tolerance(10, dtype))


def test_teams_are_whole_warps_or_whole_blocks() -> None:
    """A power of two of threads, which the sums need; a block has at least one row."""
    for num_classes in (1, 10, 1001, LONG_ROW - 1, LONG_ROW, 50257, 10**7):
        teams = teams_for(num_classes)
        assert teams.team in (32, teams.threads)
        assert teams.threads & (teams.threads - 1) == 0
        assert teams.threads <= 1024
    assert teams_for(LONG_ROW - 1).team == 32
    assert teams_for(LONG_ROW).team > 32


def test_teams_start_a_block_for_every_few_rows_up_to_the_places_for_sums() -> None:
    """At least one block, one row a team, and never more blocks than sums are kept of."""
    assert [Teams(128, 32).num_blocks(rows) for rows in (1, 4, 5, 10**9)] == [1, 1, 2, 8192]
    assert [Teams(512, 512).num_blocks(rows) for rows in (1, 2, 9000)] == [1, 2, 8192]


def test_rows_are_packed_only_where_all_arrays_start_right() -> None:
    """At multiples of 16 bytes; one misplaced array is enough."""
    assert packed(512)
    assert packed(512, 1040)
    assert not packed(512, 1032)
    assert not packed(8)


def test_bytes_are_those_of_the_arrays_given() -> None:
    """Scores read once, gradient written once, labels read once."""
    logits, labels = np.zeros((7, 10), "float32"), np.zeros(7, np.int64)
    assert gradient_bytes(7, 10, "float32") == 2 * logits.nbytes + labels.nbytes
    assert count_bytes(7, 10, "float64") == 2 * logits.nbytes + labels.nbytes
