"""Numbers of sources, column by column: which texts are one, and what the careful path is left with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from xxhash import xxh3_128_intdigest

from processors.decode_cast import cast_column
from processors.decode_sequences import NumberedColumns, number_column, number_of
from processors.sequences import NUMBER_MAX

GOOD = ["0", "1", "9", "10", "99", "100", "1000000", str(NUMBER_MAX)]
BAD = ["", "00", "01", "+1", "-1", "-0", " 1", "1 ", "1.0", "1e3", "x", "٣", str(NUMBER_MAX + 1), "9" * 19, "1" * 25]


def test_a_number_is_canonical_digits_up_to_the_highest() -> None:
    assert [number_of(text) for text in GOOD] == [int(text) for text in GOOD]
    assert [number_of(text) for text in (*BAD, None)] == [None] * (len(BAD) + 1)


def test_a_column_finds_no_number_that_one_by_one_is_none_and_all_that_are_plain() -> None:
    numbers, good = number_column(GOOD)
    assert good.tolist() == [True] * len(GOOD) and numbers.tolist() == [int(text) for text in GOOD]
    numbers, good = number_column([*BAD, *GOOD])
    assert all(number_of(text) is not None for text, fine in zip(BAD, good.tolist(), strict=False) if fine)
    assert good[len(BAD) :].all() and numbers[len(BAD) :].tolist() == [int(text) for text in GOOD]


def test_what_is_no_text_is_no_number() -> None:
    for values in ([7, None, "7", True, 1.0, b"7"], [7, 7, "7", 7, 7, 7]):
        numbers, good = number_column(values)
        assert good.tolist() == [False, False, True, False, False, False] and numbers[2] == 7
    numbers, good = number_column([])
    assert (numbers.tolist(), good.tolist()) == ([], [])


def test_the_careful_path_is_left_with_what_is_no_number_and_the_rest_are_columns() -> None:
    columns = NumberedColumns()
    assert columns.extend(np.array([4, 7, 9]), ["s", "t", "s"], ["1", "x", "3"]) == [7]
    assert columns.extend(np.array([11, 12]), ["ü", "s"], ["10", "20"]) == []
    rows, sources, numbers, digests = columns.arrays()
    assert (rows.tolist(), sources.tolist(), numbers.tolist()) == ([4, 9, 11, 12], [0, 0, 1, 0], [1, 3, 10, 20])
    assert [high << 64 | low for high, low in digests.tolist()] == [xxh3_128_intdigest(one.encode()) for one in "sü"]
    assert (rows.dtype.name, digests.dtype.name) == ("int64", "uint64")


def test_no_numbered_events_are_columns_of_no_length() -> None:
    *columns, digests = NumberedColumns().arrays()
    assert [(len(one), one.dtype.name) for one in columns] == [(0, "int64")] * 3
    assert digests.shape == (0, 2)


@pytest.mark.parametrize("wrong", [[], [0], [3, 15], [7, 8, 9], [39], list(range(40))])
def test_each_text_that_cannot_be_cast_is_named_once_and_spoils_no_other(wrong: list[int]) -> None:
    texts = ["x" if place in wrong else str(place + 1) for place in range(40)]
    column, bad = cast_column(pa.array(texts, pa.string()), pa.int64(), 1)
    assert bad == wrong
    assert column.tolist() == [[0 if place in wrong else place + 1] for place in range(40)]
