"""The shape of a packed table, whose checksum says nothing about its meaning."""

from __future__ import annotations

import numpy as np
import pytest

from processors.digests import DamagedError
from processors.packed import rows_of

HOUR_MS = 3_600_000
ROW = np.dtype([("series", np.int64), ("window", np.int64)])
LAST = (2**32 - 1) * HOUR_MS


def packed(*rows: tuple[int, int]) -> bytes:
    return np.array(list(rows), ROW).tobytes()


def test_rows_of_the_first_and_the_last_series_and_window_are_read() -> None:
    rows = rows_of(packed((0, 0), (2, LAST)), ROW, 3, HOUR_MS)
    assert rows.tolist() == [(0, 0), (2, LAST)]


@pytest.mark.parametrize("row", [(-1, 0), (3, 0), (0, -HOUR_MS), (0, 1), (0, LAST + HOUR_MS)])
def test_one_row_of_no_series_or_no_window_damages_all(row: tuple[int, int]) -> None:
    with pytest.raises(DamagedError):
        rows_of(packed((0, 0), row), ROW, 3, HOUR_MS)


def test_a_row_that_is_cut_off_is_damage() -> None:
    with pytest.raises(DamagedError, match="cut off"):
        rows_of(packed((0, 0))[:-1], ROW, 3, HOUR_MS)
