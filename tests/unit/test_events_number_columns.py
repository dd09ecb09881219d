"""Columns of numbers: each is read as it is by itself, whatever stands beside it, and the plain ones all at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from processors import numbers
from processors.numbers import NumberError, canonical_number, scale, scale_column

MAX = 10**18
TEXTS = [
    "7",
    "1.",
    ".5",
    "1.5",
    "-.5",
    "-1.5",
    "1.-5",
    "-",
    ".",
    "",
    "+1",
    "1e2",
    " 1",
    "1_0",
    "1..5",
    "5-1",
    "--1",
    "x",
    "0.1",
]
LONG = ["9" * 26, "9" * 27, "0." + "0" * 30 + "1", "0" * 40 + "5", str(MAX), str(-MAX), str(MAX + 1), str(-MAX - 1)]
LONG += [str(2**63), str(2**64), str(2**64 + 5), "-" + str(2**64 + 5), "1" + "0" * 24]


def alone(value: object, precision: int) -> int | None:
    try:
        return scale(value, precision)
    except NumberError:
        return None


def check(values: list[Any], precision: int) -> None:
    found = scale_column(values, precision)
    wanted = [None if value is None else alone(value, precision) for value in values]
    assert found.scaled.tolist() == [one or 0 for one in wanted]
    assert found.scaled.dtype == np.int64
    assert found.bad == [at for at, one in enumerate(wanted) if one is None and values[at] is not None]
    if None in wanted:
        assert found.present is not None
        assert found.present.dtype == np.bool_
        assert found.present.tolist() == [one is not None for one in wanted]
    else:
        assert found.present is None


@pytest.mark.parametrize("precision", [0, 1, 12])
def test_a_text_is_read_as_by_itself_whatever_stands_beside_it(precision: int) -> None:
    """In the memory of a column texts follow each other without a gap: "1." and "5" look like "1.5"."""
    for values in (TEXTS, LONG, [one for one in TEXTS if one.isdigit() or one == "1.5"]):
        for turn in range(len(values)):
            check([*values[turn:], *values[:turn]], precision)
            check(values[turn:], precision)
    for one in [*TEXTS, *LONG]:
        for pair in ([one], [one, "5"], ["5", one], [one, one], [one, ""], ["", one], ["5", one, None, one, "1.5"]):
            check(pair, precision)


@pytest.mark.parametrize("precision", [0, 1, 12])
def test_an_integer_is_read_as_by_itself_whatever_stands_beside_it(precision: int) -> None:
    room = MAX // 10**precision
    edges = [0, 1, -1, 7, room, -room, room + 1, -room - 1, MAX, -MAX, 2**63 - 1, 2**63, -(2**63) - 1, 10**30]
    for one in edges:
        for values in (
            [one],
            [one, 3, 4],
            [3, one, None],
            [3, 4, one, "1.5"],
            [one, "1.5"],
            [True, one, 4],
            [0.5, one, 1],
        ):
            check(values, precision)
    check([True, False, None], precision)
    check([None, None], precision)
    check([[1], {}, 0.25, "2"], precision)


@pytest.mark.parametrize(
    ("values", "slow"),
    [
        (["1", "-2.5", "0.125", "10"], []),
        (["1", "1e1", "2", "3"], ["1e1"]),
        (["1", None, 5, "3", "1."], [5, "1."]),
        ([1, 2, 3], []),
        (["7"], []),
        (["", "5"], [""]),
        ([1, None, "5", 2, 3], ["5"]),
        ([1, 2, "5", "6"], [1, 2]),
        (["9" * 26], ["9" * 26]),
        (["0" * 25 + "1", "2"], []),
        (["0" * 26 + "1", "2"], ["0" * 26 + "1"]),
        ([str(MAX // 1000), str(-MAX // 1000)], []),
        ([MAX // 1000, -(MAX // 1000)], []),
    ],
)
def test_only_what_is_not_plain_is_read_by_itself(
    values: list[Any], slow: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def scale_one(value: object, precision: int) -> int:
        read.append(value)
        return 0

    monkeypatch.setattr(numbers, "scale", scale_one)
    scale_column(values, 3)
    assert read == slow


def test_what_is_not_plain_is_told_by_its_place() -> None:
    for turn in range(len(TEXTS)):
        texts = [*TEXTS[turn:], *TEXTS[:turn]]
        found = numbers._not_plain(pa.array(texts, pa.string()))
        strange = {"1.", ".5", "-.5", "1.-5", ".", "+1", "1e2", " 1", "1_0", "1..5", "x"}
        assert found == [at for at, text in enumerate(texts) if text in strange]
    assert numbers._not_plain(pa.array(["", ""], pa.string())) == [0, 1]
    sliced = pa.array(["x", "1.5", "1."], pa.string())
    assert numbers._not_plain(pa.array(sliced.to_pylist()[1:], pa.string())) == [1]


@pytest.mark.parametrize("text", ["1e99999999", "-1E+99999999", "123e9999999999", "1e19", "0.1e20"])
def test_a_number_too_large_is_refused_before_its_digits_are_made(text: str) -> None:
    with pytest.raises(NumberError, match="too large"):
        scale(text, 0)


@pytest.mark.parametrize("text", ["0e9999999999", "-0.00E-9999999999", "0E+99999999999", "0e5", "-0.0", "000", "0e-5"])
def test_nothing_is_nothing_with_any_exponent(text: str) -> None:
    assert (scale(text, 0), scale(text, 12), canonical_number(text)) == (0, 0, "0")


def test_nineteen_digits_are_looked_at_closely() -> None:
    assert scale("1000000000000000000", 0) == scale("1e18", 0) == scale("1000000", 12) == MAX
    assert scale("-1000000.000000000000", 12) == -MAX
    for text, precision in (("1000000000000000001", 0), ("1000000.000000000001", 12), ("1.1e18", 0), ("9999999", 12)):
        with pytest.raises(NumberError, match="too large"):
            scale(text, precision)
