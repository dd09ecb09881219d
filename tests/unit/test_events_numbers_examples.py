"""Numbers by example: the ends of every range, each refusal with its reason, what a column reads by itself."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from processors import numbers
from processors.numbers import (
    BOOLEAN,
    DIGITS,
    FLOAT,
    NO_NUMBER,
    SCALED_MAX,
    TOO_LARGE,
    TOO_LONG,
    NumberError,
    canonical_number,
    scale,
    scale_column,
)


@pytest.mark.parametrize(
    ("value", "precision", "scaled"),
    [
        (12, 3, 12_000),
        (-7, 0, -7),
        (0, 12, 0),
        (SCALED_MAX, 0, SCALED_MAX),
        (-(10**6), 12, -SCALED_MAX),
        ("12.5", 1, 125),
        ("12.50", 1, 125),
        ("-0.125", 3, -125),
        ("007", 0, 7),
        ("1e3", 0, 1000),
        ("1E+2", 0, 100),
        ("1500e-2", 0, 15),
        ("0.000", 0, 0),
        ("-0", 0, 0),
        ("0e99999999999", 0, 0),
        ("0.0e-99999999999", 0, 0),
        ("1e0000000000002", 0, 100),
        ("1000000000000000000", 0, SCALED_MAX),
        ("0.1e1", 0, 1),
        (0.5, 1, 5),
        (-2.25, 2, -225),
        (3.0, 0, 3),
        (1e-3, 3, None),  # no short exact decimal: a third of a tick off
    ],
)
def test_a_number_is_scaled_exactly(value: object, precision: int, scaled: int | None) -> None:
    if scaled is None:
        with pytest.raises(NumberError, match="binary float"):
            scale(value, precision)
    else:
        assert scale(value, precision) == scaled


@pytest.mark.parametrize(
    ("value", "precision", "reason"),
    [
        (SCALED_MAX + 1, 0, TOO_LARGE),
        (10**6 + 1, 12, TOO_LARGE),
        (10**400, 12, TOO_LARGE),
        ("1000000000000000001", 0, TOO_LARGE),
        ("1e18", 1, TOO_LARGE),
        ("1e9999999999", 0, TOO_LARGE),
        ("1e+9999999999", 0, TOO_LARGE),
        ("1e-9999999999", 0, DIGITS),
        ("0.01", 1, DIGITS),
        (0.25, 1, FLOAT),
        (2.0**-40, 12, FLOAT),
        (float("nan"), 0, NO_NUMBER),
        (float("inf"), 0, NO_NUMBER),
        (True, 0, BOOLEAN),
        (None, 0, NO_NUMBER),
        ("1.", 0, NO_NUMBER),
        (".5", 1, NO_NUMBER),
        ("+1", 0, NO_NUMBER),
        ("1_000", 0, NO_NUMBER),
        ("", 0, NO_NUMBER),
    ],
)
def test_a_number_that_is_not_exact_or_in_range_is_refused_with_what_to_do(
    value: object, precision: int, reason: str
) -> None:
    with pytest.raises(NumberError) as refused:
        scale(value, precision)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (-(10**40) + 1, "-" + "9" * 40),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("-12.5e-2", "-0.125"),
        ("0.0", "0"),
        ("-0", "0"),
        (0.5, "0.5"),
        ("1e38", "1" + "0" * 38),
        ("1e-38", "0." + "0" * 37 + "1"),
    ],
)
def test_a_number_has_one_text(value: object, text: str) -> None:
    assert canonical_number(value) == text


@pytest.mark.parametrize("value", [10**40, -(10**40), "1e39", "1e-39", "1" * 40])
def test_a_number_too_long_for_a_text_is_refused(value: object) -> None:
    with pytest.raises(NumberError) as refused:
        canonical_number(value)
    assert str(refused.value) == TOO_LONG


@pytest.mark.parametrize(
    ("values", "precision", "scaled", "present", "bad"),
    [
        ([1, -2, 3], 0, [1, -2, 3], None, []),
        ([1, -2], 2, [100, -200], None, []),
        ([10**6, -(10**6)], 12, [SCALED_MAX, -SCALED_MAX], None, []),
        ([10**6 + 1, 1], 12, [0, 10**12], [False, True], [0]),
        ([-(10**6) - 1, 1], 12, [0, 10**12], [False, True], [0]),
        ([10**30, 5], 0, [0, 5], [False, True], [0]),
        (["1.5", "2"], 1, [15, 20], None, []),
        (["1.5", 2], 1, [15, 20], None, []),
        (["1.5", None, 2], 1, [15, 0, 20], [True, False, True], []),
        (["1e1", "2"], 0, [10, 2], None, []),
        ([0.5, None, True, "x", 2], 1, [5, 0, 0, 0, 20], [True, False, False, False, True], [2, 3]),
        (["1\n2", "3"], 0, [0, 3], [False, True], [0]),
        ([".5", "5.", "-.5", "5"], 1, [0, 0, 0, 50], [False, False, False, True], [0, 1, 2]),
        (["1" + "0" * 26, "0" * 26 + "7", "9"], 0, [0, 7, 9], [False, True, True], [0]),
        (["1000000000000000000", "-1000000000000000000"], 0, [SCALED_MAX, -SCALED_MAX], None, []),
        (["1000000000000000001", "-1000000000000000001"], 0, [0, 0], [False, False], [0, 1]),
        (["0.05", "0.5"], 1, [0, 5], [False, True], [0]),
        (["\u0661", "1"], 0, [0, 1], [False, True], [0]),
    ],
)
def test_a_column_says_what_is_there_and_what_is_bad(
    values: list[Any], precision: int, scaled: list[int], present: list[bool] | None, bad: list[int]
) -> None:
    given = list(values)
    found = scale_column(values, precision)
    assert found.scaled.tolist() == scaled
    assert (None if found.present is None else found.present.tolist()) == present
    assert found.bad == bad
    assert values == given, "the caller's list is not changed"


@pytest.mark.parametrize("values", [[1, 2], ["1", "2"], ["123456.123456789012", "-0.5"]])
def test_plain_numbers_are_read_by_the_column_and_none_by_itself(values: list[Any]) -> None:
    """One by one they are right as well, at fifty times the price."""
    with mock.patch.object(numbers, "scale", side_effect=AssertionError):
        assert scale_column(values, 12 if "." in str(values[0]) else 0).bad == []
