"""What casts promise, on NumPy, on a GPU and on a CPU that stands for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.core.arrays import array_module
from mpitrain.core.errors import UserError
from mpitrain.kernels.cast import NARROW_TYPES, Cast, cast_bytes
from mpitrain.kernels.cast_device import cast_walk
from mpitrain.kernels.cast_host import BLOCK
from mpitrain.kernels.walk import Walk
from tests.unit.kernels.casts import INFINITY, NAN, hard_values, narrowed, widened

PeakBytes = Callable[[Callable[[], object]], int]

both_kinds = pytest.mark.parametrize("kind", NARROW_TYPES)
SCALES = (1.0, 0.1, -3.0, 2.0**-24, 2.0**-130, 1e30, 0.0, np.inf)
# number of elements, and how many elements after the start of their memory the vectors start
PLACES = [
    (0, 0, 0),
    *((num, 0, 0) for num in (1, 7, 8, 9, 100, 2051)),
    *((100, offset, offset) for offset in range(1, 9)),
    (100, 1, 5),
    (100, 4, 0),
    (100, 1, 2),
    (2051, 3, 3),
]


def host(array: Any) -> Any:
    """Return a NumPy array."""
    return array if type(array) is np.ndarray else array_module("cuda").asnumpy(array)


def bits(array: Any) -> Any:
    """Return the bits of numbers as unsigned integers, on the host."""
    values = host(array)
    return values.view(f"u{values.itemsize}")


def narrow(xp: Any, kind: str, values: Any, scale: float = 1.0) -> Any:
    """Return the bits of the narrow numbers."""
    out = xp.full(len(values), 77, NARROW_TYPES[kind])
    Cast(kind, xp).narrow_into(xp.asarray(values), out, scale)
    return bits(out)


def widen(xp: Any, kind: str, patterns: Any, scale: float = 1.0) -> Any:
    """Return the bits of the wide numbers."""
    out = xp.full(len(patterns), 77, np.float32)
    Cast(kind, xp).widen_into(xp.asarray(patterns.view(NARROW_TYPES[kind])), out, scale)
    return bits(out)


@both_kinds
def test_widening_is_exact_for_every_pattern(place: Any, kind: str) -> None:
    """All 65,536: the value that the pattern stands for, or the one NaN."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    np.testing.assert_array_equal(widen(place, kind, patterns), bits(widened(kind, patterns)))


@both_kinds
def test_narrowing_is_to_the_nearest_and_to_even_between(place: Any, kind: str) -> None:
    """At all halfway points and beside them, at all ends, and at a million random patterns."""
    values = hard_values(kind)
    np.testing.assert_array_equal(narrow(place, kind, values), narrowed(kind, values))


@both_kinds
def test_narrowing_undoes_widening(place: Any, kind: str) -> None:
    """Every pattern comes back, but that NaN is the one NaN."""
    patterns = np.arange(1 << 16, dtype=np.uint16)
    wide = widen(place, kind, patterns).view(np.float32)
    expected = np.where(np.isnan(wide), NAN[kind], patterns)
    np.testing.assert_array_equal(narrow(place, kind, wide), expected)


@both_kinds
def test_narrowing_of_what_is_no_number_is_as_written_down(place: Any, kind: str) -> None:
    """NaN never becomes infinity whatever its payload; infinity and signed zero stay."""
    no_numbers = [0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000, 0x7F80FFFF]
    ends = [0x7F800000, 0xFF800000, 0x7F7FFFFF, 0xFF7FFFFF, 0, 0x80000000]
    given = np.array([*no_numbers, *ends], np.uint32).view(np.float32)
    infinity, sign = INFINITY[kind], 0x8000
    expected = [NAN[kind]] * 6 + [infinity, infinity | sign] * 2 + [0, sign]
    np.testing.assert_array_equal(narrow(place, kind, given), expected)


@both_kinds
@pytest.mark.parametrize("scale", SCALES)
def test_casts_multiply_in_the_same_pass(place: Any, kind: str, scale: float) -> None:
    """The product is rounded to float32 on its own, then cast; subnormal products are kept."""
    random, patterns = np.random.default_rng(), np.arange(1 << 16, dtype=np.uint16)
    values = random.choice(hard_values(kind), 100_000)
    with np.errstate(all="ignore"):
        product = (values.astype(float) * np.float32(scale)).astype(np.float32)
        wide = (widened(kind, patterns).astype(float) * np.float32(scale)).astype(np.float32)
    wide[np.isnan(wide)] = np.nan
    np.testing.assert_array_equal(narrow(place, kind, values, scale), narrowed(kind, product))
    expected = np.where(np.isnan(wide), 0x7FC00000, bits(wide))
    np.testing.assert_array_equal(widen(place, kind, patterns, scale), expected)


@both_kinds
def test_casts_leave_what_is_beside_and_what_is_read_alone(place: Any, kind: str) -> None:
    """Vectors may start anywhere, each where it likes."""
    random, cast = np.random.default_rng(), Cast(kind, place)
    narrow_type = NARROW_TYPES[kind]
    for num, wide_offset, narrow_offset in PLACES:
        fresh = random.standard_normal(num + 16).astype(np.float32)
        wide_memory = place.asarray(fresh.copy())
        narrow_memory = place.full(num + 16, 77, narrow_type)
        wide = wide_memory[wide_offset : wide_offset + num]
        small = narrow_memory[narrow_offset : narrow_offset + num]
        cast.narrow_into(wide, small)
        expected = np.full(num + 16, 77, narrow_type)
        made = narrowed(kind, fresh[wide_offset : wide_offset + num]).view(narrow_type)
        expected[narrow_offset : narrow_offset + num] = made
        np.testing.assert_array_equal(bits(narrow_memory), bits(expected))
        np.testing.assert_array_equal(host(wide_memory), fresh)

        cast.widen_into(small, wide)
        fresh[wide_offset : wide_offset + num] = widened(kind, bits(small))
        np.testing.assert_array_equal(host(wide_memory), fresh)
        np.testing.assert_array_equal(bits(narrow_memory), bits(expected))


@both_kinds
def test_casts_on_the_host_go_on_after_a_block(kind: str) -> None:
    """Two whole blocks and a bit, with a NaN in the last only."""
    values = np.random.default_rng().standard_normal(2 * BLOCK + 5).astype(np.float32)
    values[-1] = np.nan
    for scale in (1.0, 0.3):
        expected = narrowed(kind, values * np.float32(scale))
        np.testing.assert_array_equal(narrow(np, kind, values, scale), expected)
        wide = widened(kind, expected) * np.float32(scale)
        np.testing.assert_array_equal(widen(np, kind, expected, scale), bits(wide))


@both_kinds
def test_casts_allocate_nothing_that_grows_on_the_host(kind: str, peak_bytes: PeakBytes) -> None:
    """A few views, whatever the length, and no warning of overflow."""
    cast, num = Cast(kind, np), 300_000
    values, out = np.full(num, 1e38, np.float32), np.empty(num, NARROW_TYPES[kind])
    values[::7] = np.nan
    cast.narrow_into(values, out, 2.0)
    assert peak_bytes(lambda: cast.narrow_into(values, out, 2.0)) < 8192
    assert peak_bytes(lambda: cast.widen_into(out, values, 2.0)) < 8192


@pytest.mark.gpu
@both_kinds
def test_casts_allocate_nothing_on_a_device(kind: str) -> None:
    """No cast asks the memory pool for anything."""
    import cupy

    cast, num = Cast(kind, cupy), 300_000
    values, out = cupy.ones(num, np.float32), cupy.empty(num, NARROW_TYPES[kind])
    cast.narrow_into(values, out, 2.0)
    cast.widen_into(out, values, 2.0)
    with cupy.cuda.using_allocator(_refuse):
        cast.narrow_into(values, out, 2.0)
        cast.widen_into(out, values, 2.0)


def _refuse(size: int) -> Any:
    msg = f"{size} bytes asked for"
    raise AssertionError(msg)


@both_kinds
def test_casts_reach_all_elements_when_they_are_more_than_threads(
    device: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A grid of two blocks walks long vectors in strides."""
    monkeypatch.setattr("mpitrain.kernels.cast_device.MOST_BLOCKS", 2)
    values = np.random.default_rng().standard_normal(20_003).astype(np.float32)
    expected = narrowed(kind, values)
    np.testing.assert_array_equal(narrow(device, kind, values), expected)
    np.testing.assert_array_equal(widen(device, kind, expected), bits(widened(kind, expected)))


@both_kinds
def test_cast_names_the_vector_that_does_not_fit(place: Any, kind: str) -> None:
    """Another type, another length and gaps are refused before anything is written."""
    cast, wide = Cast(kind, place), place.full(6, 1, np.float32)
    small = place.full(6, 0, NARROW_TYPES[kind])
    for bad in (place.full(6, 1, np.float64), place.full(12, 1, np.float32)[::2]):
        with pytest.raises(ValueError, match="values must be a contiguous float32 vector"):
            cast.narrow_into(bad, small)
        with pytest.raises(ValueError, match="out must be a contiguous float32 vector"):
            cast.widen_into(small, bad)
    for bad in (small[:5], place.full(6, 0, np.int16), small.reshape(2, 3)):
        with pytest.raises(ValueError, match="out must be a contiguous"):
            cast.narrow_into(wide, bad)
    assert not host(small).any()


def test_cast_names_the_kinds_there_are() -> None:
    """A wrong name is a user's matter, told in one line."""
    with pytest.raises(UserError, match="unknown narrow type 'half'; choose from: bfloat16, float"):
        Cast("half", np)


def test_cast_walk_is_in_packs_where_both_vectors_allow_it() -> None:
    """Eight elements from where both are at a multiple of 16 bytes, or one by one."""
    for start in range(16):
        for num in (0, 1, 5, 8, 100):
            cut = cast_walk(num, 512 + 4 * start, 1024 + 2 * start)
            assert cut.head + 8 * cut.num_packs + cut.tail == num
            if cut.num_packs:
                assert (start + cut.head) % 8 == 0
    assert cast_walk(100, 512, 1024) == Walk(head=0, num_packs=12, tail=4)
    assert cast_walk(100, 512 + 4 * 3, 1024 + 2 * 7) == Walk(head=1, num_packs=12, tail=3)
    assert cast_walk(100, 512 + 4, 1024) == Walk(head=0, num_packs=0, tail=100)


def test_bytes_of_a_cast_are_those_of_its_vectors() -> None:
    """Each is moved once."""
    for narrow_type in NARROW_TYPES.values():
        assert cast_bytes(9) == np.zeros(9, np.float32).nbytes + np.zeros(9, narrow_type).nbytes
