"""The schema: the contract's columns, and the check of a row."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from mpitrain.storage.schema import STEP_COLUMNS, checks_agree, row_checks, step_columns


def test_columns_are_those_of_the_contract_in_order() -> None:
    """Names, order and types are what readers of old logs rely on."""
    said = " ".join(f"{name}:{column.dtype.str[1:]}" for name, column in STEP_COLUMNS.items())
    assert said == (
        "clock:i8 ticket:i8 began_s:f8 wait_s:f4 read_s:f4 compute_s:f4 write_s:f4 lead:i4 "
        "staleness_mean:f4 staleness_max:i4 own_missing:i4 version_read:i8 version_written:i8 "
        "loss:f4 gradient_norm:f4 update_norm:f4 rate:f4 factor:f4 num_samples:i4 check:u4"
    )
    assert set(STEP_COLUMNS) - set(step_columns(per_shard=False)) == {
        "version_read",
        "version_written",
    }


def test_row_check_is_the_crc_of_little_endian_int64() -> None:
    """The check can be recomputed with nothing but the definition."""
    rows = [[0, 5, 1, 2, 3, 4], [1, 2**40, -1, 2, 3, 5]]
    wanted = [zlib.crc32(struct.pack("<6q", *row)) for row in rows]
    assert row_checks(np.array(rows)).tolist() == wanted
    assert row_checks(np.zeros((0, 6), np.int64)).shape == (0,)


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 64, 1000])
@pytest.mark.parametrize("num_keys", [2, 4, 34])
def test_many_rows_are_checked_at_once(num_rows: int, num_keys: int) -> None:
    """Right checks agree; one bit that changed anywhere does not."""
    random = np.random.default_rng([num_rows, num_keys])
    keys = random.integers(-(2**62), 2**62, (num_rows, num_keys))
    checks = row_checks(keys)
    assert checks_agree(keys, checks)
    for row in {0, num_rows // 2, num_rows - 1} & set(range(num_rows)):
        changed = keys.copy()
        changed[row, random.integers(num_keys)] ^= 1 << int(random.integers(63))
        assert not checks_agree(changed, checks)
        wrong = checks.copy()
        wrong[row] ^= np.uint32(1 << int(random.integers(32)))
        assert not checks_agree(keys, wrong)
        assert not checks_agree(np.delete(keys, row, axis=0), checks)
