"""The arithmetic of kernels, one by one: whole numbers of a quotient, and the names of steps."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rating.kernels import FlatKernel, MatrixKernel, OneNumberIsNotEnoughError, Round, Step, rounded_quotient
from rating.prices import (
    BlockGraduated,
    BlockVolume,
    Graduated,
    Percentage,
    PercentTier,
    Tier,
    TieredPercentage,
    explain,
    price_amount,
)


@pytest.mark.parametrize(
    ("quotient", "up", "down", "half_up"),
    [
        ("7/3", 3, 2, 2),
        ("8/3", 3, 2, 3),
        ("5/2", 3, 2, 3),
        ("3/5", 1, 0, 1),
        ("1/4", 1, 0, 0),
        ("0", 0, 0, 0),
        ("-1/4", 0, -1, 0),
        ("-5/2", -2, -3, -3),
        ("-7/3", -2, -3, -2),
        ("-3", -3, -3, -3),
    ],
)
def test_a_quotient_is_rounded_along_the_number_line_or_half_away_from_zero(
    quotient: str, up: int, down: int, half_up: int
) -> None:
    exact = Fraction(quotient)
    rounded: dict[Round, int] = {"up": up, "down": down, "half_up": half_up}
    for how, expected in rounded.items():
        assert rounded_quotient(exact, Decimal(1), how) == expected
        assert rounded_quotient(Decimal(exact.numerator), Decimal(exact.denominator), how) == expected


def test_a_flat_amount_is_one_step() -> None:
    assert FlatKernel(Decimal(5)).steps(Decimal(7)) == [Step("flat", Decimal(1), Decimal(5), Decimal(5))]


def test_a_matrix_has_no_steps_for_nothing_and_asks_for_dimensions_for_anything_else() -> None:
    assert MatrixKernel("m").steps(Decimal(0)) == []
    with pytest.raises(OneNumberIsNotEnoughError):
        MatrixKernel("m").steps(Decimal(1))


def test_nothing_is_explained_by_the_first_tier() -> None:
    price = Graduated("id", "m", (Tier(unit_amount="2", flat_amount="5"),), True)
    steps = [(step.step, step.quantity, step.amount) for step in explain(price, Decimal(0))]
    assert steps == [("tier 1: units", Decimal(0), Decimal(0)), ("tier 1: flat", Decimal(1), Decimal(5))]


@pytest.mark.parametrize("model", [BlockGraduated, BlockVolume])
def test_of_no_blocks_the_flat_amount_of_the_first_tier_is_owed_where_the_price_says_so(model: Any) -> None:
    tiers = (Tier(unit_amount="2", flat_amount="5"),)
    assert price_amount(model("id", "m", tiers, True, block_size=10), Decimal(0)) == 5
    assert price_amount(model("id", "m", tiers, block_size=10), Decimal(0)) == 0


def test_of_no_money_no_percentage_owes_the_flat_amount_of_its_first_tier() -> None:
    tiers = (PercentTier(percent="2.9", flat_amount="0.30"),)
    for price in (Percentage("id", "m", tiers=tiers), TieredPercentage("id", "m", tiers)):
        assert price_amount(price, Decimal(0)) == 0
        assert price_amount(price, Decimal(100)) == Decimal("3.2")


def test_percentages_by_tier_end_with_an_open_tier() -> None:
    with pytest.raises(ValueError, match=r"tiers\[0\].up_to: must be left out"):
        Percentage("id", "m", tiers=(PercentTier(up_to="10", percent="1"),))
