"""The five models, at and around every bound."""

from decimal import Decimal
from fractions import Fraction

import pytest

from rating.prices import Flat, Graduated, Package, PerUnit, Price, Tier, Volume, explain, price_amount

TIERS = (
    Tier(up_to="10", unit_amount="1", flat_amount="5"),
    Tier(up_to="20", unit_amount="0.5", flat_amount="3"),
    Tier(unit_amount="0.1"),
)
FLAT = Flat("flat", "5")
PER_UNIT = PerUnit("per_unit", "m", "0.30")
PACKAGE = Package("package", "m", "1000", "4.50")
GRADUATED = Graduated("graduated", "m", TIERS)
VOLUME = Volume("volume", "m", TIERS)
OWES_FIRST_FLAT = {model: model("owing", "m", TIERS, True) for model in (Graduated, Volume)}


@pytest.mark.parametrize(
    ("price", "quantity", "amount"),
    [
        (FLAT, "0", "5"),
        (FLAT, "123", "5"),
        (FLAT, "-1", "5"),
        (PER_UNIT, "0", "0"),
        (PER_UNIT, "3", "0.9"),
        (PER_UNIT, "-3", "-0.9"),
        (PACKAGE, "0", "0"),
        (PACKAGE, "0.000000000001", "4.5"),
        (PACKAGE, "1000", "4.5"),
        (PACKAGE, "1000.1", "9"),
        (PACKAGE, "2000001", "9004.5"),
        (PACKAGE, "-999", "0"),
        (PACKAGE, "-1000", "-4.5"),
        (PACKAGE, "-1001", "-4.5"),
        (GRADUATED, "0", "0"),
        (GRADUATED, "0.1", "5.1"),
        (GRADUATED, "10", "15"),
        (GRADUATED, "10.1", "18.05"),
        (GRADUATED, "20", "23"),
        (GRADUATED, "30", "24"),
        (GRADUATED, "-4", "-4"),
        (VOLUME, "0", "0"),
        (VOLUME, "0.1", "5.1"),
        (VOLUME, "10", "15"),
        (VOLUME, "10.1", "8.05"),
        (VOLUME, "20", "13"),
        (VOLUME, "20.1", "2.01"),
        (VOLUME, "-4", "-4"),
        (OWES_FIRST_FLAT[Graduated], "0", "5"),
        (OWES_FIRST_FLAT[Graduated], "1", "6"),
        (OWES_FIRST_FLAT[Graduated], "-1", "4"),
        (OWES_FIRST_FLAT[Volume], "0", "5"),
        (OWES_FIRST_FLAT[Volume], "15", "10.5"),
    ],
)
def test_a_quantity_has_its_amount_and_an_explanation_that_adds_up(price: Price, quantity: str, amount: str) -> None:
    assert price_amount(price, Decimal(quantity)) == Decimal(amount)
    steps = explain(price, Decimal(quantity))
    assert sum(step.amount for step in steps) == Decimal(amount)
    assert all(step.step != "brought to 12 decimals" for step in steps)


def test_the_explanation_goes_tier_by_tier() -> None:
    steps = [(step.step, step.quantity, step.unit_amount, step.amount) for step in explain(GRADUATED, Decimal(30))]
    assert steps == [
        ("tier 1: above 0 up to 10", 10, 1, 10),
        ("tier 1: flat", 1, 5, 5),
        ("tier 2: above 10 up to 20", 10, Decimal("0.5"), 5),
        ("tier 2: flat", 1, 3, 3),
        ("tier 3: above 20", 10, Decimal("0.1"), 1),
    ]
    assert [step.step for step in explain(VOLUME, Decimal(15))] == [
        "tier 2: all units, total above 10 up to 20",
        "tier 2: flat",
    ]
    assert [(step.step, step.quantity) for step in explain(PACKAGE, Decimal(1001))] == [
        ("blocks of 1000, a begun one is whole", 2),
        ("units", 2),
    ]


def test_amounts_far_beyond_twenty_eight_digits_stay_exact() -> None:
    price = PerUnit("id", "m", "123456789012345678901234567890.000000000001")
    assert price_amount(price, Decimal(10**48)) == (123456789012345678901234567890 * 10**12 + 1) * 10**36
    packages = Package("id", "m", "0.5", "1")
    assert price_amount(packages, Decimal("1" + "0" * 40 + ".1")) == 2 * 10**40 + 1


def test_a_product_of_more_than_twelve_decimals_is_brought_to_twelve_once_and_explained() -> None:
    price = PerUnit("id", "m", "0.000000000000000003")
    quantity = Decimal(500_000)
    assert price_amount(price, quantity) == Decimal("0.000000000002")
    exact, rest = explain(price, quantity)
    assert exact.amount == Decimal("0.0000000000015")
    assert (rest.step, rest.amount) == ("brought to 12 decimals", Decimal("0.0000000000005"))


def test_a_mean_without_a_finite_decimal_is_priced_exactly_and_quantised_on_the_price() -> None:
    third = Fraction(1, 3)
    assert price_amount(PerUnit("id", "m", "3000000000000"), third) == 10**12
    assert price_amount(PER_UNIT, third) == Decimal("0.1")
    assert price_amount(PER_UNIT, Fraction(-2, 7)) == Decimal("-0.085714285714")
    assert price_amount(PACKAGE, Fraction(2000, 3)) == Decimal("4.5")
    assert price_amount(GRADUATED, Fraction(31, 3)) == Decimal("18.166666666667")
    assert price_amount(VOLUME, Fraction(10)) == 15
    assert sum(step.amount for step in explain(GRADUATED, Fraction(31, 3))) == Decimal("18.166666666667")


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "1E+300"])
@pytest.mark.parametrize("price", [PER_UNIT, PACKAGE, GRADUATED, VOLUME])
def test_a_quantity_that_cannot_be_priced_exactly_raises(price: Price, quantity: str) -> None:
    with pytest.raises(ArithmeticError):
        price_amount(price, Decimal(quantity))


@pytest.mark.parametrize("price", [PER_UNIT, PACKAGE, GRADUATED, VOLUME])
def test_a_float_quantity_raises(price: Price) -> None:
    with pytest.raises(TypeError):
        price_amount(price, 0.5)  # type: ignore[arg-type]


def test_published_prices_come_out_to_the_cent() -> None:
    """Late usage, and an allowance with a fee for each zone, worked by hand."""
    plan = Graduated("id", "m", (Tier(up_to="10000000", unit_amount="0"), Tier(unit_amount="0.0000003")))
    assert price_amount(plan, Decimal(10_400_000)) - price_amount(plan, Decimal(9_900_000)) == Decimal("0.12")
    assert price_amount(plan, Decimal(20_500_000)) - price_amount(plan, Decimal(20_000_000)) == Decimal("0.15")
    volume = Volume("id", "m", (Tier(up_to="1000000", unit_amount="0.05"), Tier(unit_amount="0.04")))
    assert price_amount(volume, Decimal(1_010_000)) - price_amount(volume, Decimal(990_000)) == -9100
    zone = Graduated("id", "m", (Tier(up_to="1", unit_amount="0", flat_amount="5"), Tier(unit_amount="0.10")))
    amounts = [price_amount(zone, Decimal(gb)) for gb in ("723", "0.4", "12.35")]
    assert amounts == [Decimal("77.2"), Decimal("5"), Decimal("6.135")]
