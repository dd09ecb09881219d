"""Currencies, the one rounding to minor units, and allocation."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.money import MINOR_DIGITS, allocate, round_lines, round_money


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "USD", "1.01"),
        ("-1.005", "USD", "-1.01"),
        ("1.004999999999", "USD", "1.00"),
        ("0.5", "JPY", "1"),
        ("-0.5", "JPY", "-1"),
        ("1.0005", "KWD", "1.001"),
        ("1.00005", "CLF", "1.0001"),
        ("-0.004", "USD", "0.00"),
        ("1" * 50 + ".125", "USD", "1" * 50 + ".13"),
    ],
)
def test_money_rounds_half_away_from_zero_to_the_digits_of_its_currency(
    amount: str, currency: str, rounded: str
) -> None:
    assert str(round_money(Decimal(amount), currency)) == rounded


@pytest.mark.parametrize("currency", ["usd", "UDS", "", "XAU"])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 4217 code"):
        round_money(Decimal(1), currency)


def test_the_currency_table_has_the_digits_of_iso_4217() -> None:
    assert [MINOR_DIGITS[code] for code in ("JPY", "USD", "EUR", "KWD", "CLF")] == [0, 2, 2, 3, 4]
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in MINOR_DIGITS)


def test_a_pool_is_allocated_by_largest_remainder() -> None:
    """Rounding each part by itself would bill 600.01 for 600.00."""
    assert allocate(60_000, [Decimal("62.5"), Decimal("41.25"), Decimal("11.25")]) == [32609, 21522, 5869]


def test_ties_go_to_the_earlier_place() -> None:
    assert allocate(2, [Decimal(1)] * 3) == [1, 1, 0]
    assert allocate(-2, [Decimal(1)] * 3) == [-1, -1, 0]


def test_nothing_to_split_by_is_refused_unless_there_is_nothing_to_split() -> None:
    assert allocate(0, [Decimal(0), Decimal(0)]) == [0, 0]
    with pytest.raises(ValueError, match="every weight is zero"):
        allocate(1, [Decimal(0)])
    with pytest.raises(ValueError, match="a weight is negative"):
        allocate(1, [Decimal(2), Decimal(-1)])


@settings(deadline=None)
@given(
    st.integers(-(10**20), 10**20),
    st.lists(st.decimals(0, 10**12, places=6), min_size=1, max_size=8).filter(any),
)
def test_allocated_parts_add_up_and_stay_within_a_unit_of_their_share(total: int, weights: list[Decimal]) -> None:
    parts = allocate(total, weights)
    whole = sum(int(weight * 10**6) for weight in weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * whole - total * int(weight * 10**6)) < whole


@pytest.mark.parametrize(
    ("amounts", "currency", "rounded"),
    [
        (["0.001", "0.009"], "USD", ["0.00", "0.01"]),
        (["0.009", "0.001"], "USD", ["0.01", "0.00"]),
        (["0.005", "0.005"], "USD", ["0.01", "0.00"]),
        (["1.004", "2.003", "3.003"], "USD", ["1.01", "2.00", "3.00"]),
        (["0.4", "0.6"], "JPY", ["0", "1"]),
        (["-0.6", "-0.4", "5"], "JPY", ["-1", "0", "5"]),
        (["0.0006", "0.0004"], "KWD", ["0.001", "0.000"]),
    ],
)
def test_lines_are_rounded_so_that_they_add_up(amounts: list[str], currency: str, rounded: list[str]) -> None:
    """What is missing goes to the largest remainders, ties to the earlier line."""
    found = round_lines([Decimal(amount) for amount in amounts], currency)
    assert list(map(str, found)) == rounded
