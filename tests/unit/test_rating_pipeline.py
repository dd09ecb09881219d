"""From a quantity to its amount, term by term."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rating.prices import explain, price_amount, read_price

THIRD = Fraction(1, 3)


def per_unit(unit_amount: str | int, **terms: Any) -> Any:
    return read_price({"model": "per_unit", "unit_amount": unit_amount, **terms})


def test_a_usage_discount_alone_is_taken_off_the_quantity() -> None:
    assert price_amount(per_unit(2, usage_discount=10), Decimal(100)) == 180
    assert price_amount(per_unit(2, usage_discount=10), THIRD) == Decimal("0.6")


@pytest.mark.parametrize(
    ("terms", "owed", "owed_when_met"),
    [
        ({"discount_percent": 10}, "0.3", "0.15"),
        ({"maximum_amount": "0.2"}, "0.2", "0.166666666667"),
        ({"minimum_amount": 1}, "1", "1"),
        ({}, "0.333333333333", "0.166666666667"),
    ],
)
def test_a_mean_has_its_terms_before_it_is_brought_to_twelve_decimals(
    terms: dict[str, Any], owed: str, owed_when_met: str
) -> None:
    price = per_unit(1, discount={"percent": 50, "when": {"meter": "quantity", "above": 0}}, **terms)
    assert price_amount(price, THIRD) == Decimal(owed)
    assert price_amount(price, THIRD, True) == Decimal(owed_when_met)


@pytest.mark.parametrize(("power", "shown"), [(20, True), (85, True), (86, False)])
def test_a_quotient_is_shown_exactly_where_its_reciprocal_has_at_most_sixty_digits(power: int, shown: bool) -> None:
    divided, *_ = explain(per_unit(1, convert={"divide_by": 2**power}), Decimal(1))
    assert (Fraction(divided.quantity) == Fraction(1, 2**power)) is shown


def test_a_long_quantity_is_divided_by_what_has_a_long_reciprocal() -> None:
    quantity = Decimal("7" * 150)
    amount = price_amount(per_unit(1, convert={"divide_by": 2**96}), quantity)
    assert abs(Fraction(amount) - Fraction(quantity) / 2**96) <= Fraction(1, 2 * 10**12)


def test_an_amount_at_its_maximum_or_minimum_needs_no_step_to_get_there() -> None:
    for terms in ({"maximum_amount": 10}, {"minimum_amount": 10}):
        assert [step.step for step in explain(per_unit(1, **terms), Decimal(10))] == ["units"]
    assert explain(per_unit(1, maximum_amount=10), Decimal(11))[-1].amount == -1
    assert explain(per_unit(1, minimum_amount=10), Decimal(9))[-1].amount == 1


def test_a_discount_is_explained_as_a_negative_share_of_what_was_owed() -> None:
    step = explain(per_unit(2, discount_percent=10), Decimal(100))[-1]
    assert (step.step, step.quantity, step.unit_amount, step.amount) == (
        "discount 10 percent",
        200,
        Decimal("-0.1"),
        -20,
    )
