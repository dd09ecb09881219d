"""What a price comes to for a quantity, explained."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

import rating
from rating import marginal, quote
from rating.kernels import OneNumberIsNotEnoughError
from rating.money import MixedCurrencyError
from rating.prices import Graduated, Tier, read_price

TIERS = [{"up_to": 10, "unit_amount": 0}, {"unit_amount": "0.3335"}]
GRADUATED = {"model": "graduated", "tiers": TIERS}
MATRIX = {
    "model": "matrix",
    "dimensions": ["region", "class"],
    "discount_percent": 50,
    "cell": [
        {"when": {"region": ["eu"], "class": ["a"]}, "price": {"model": "per_unit", "unit_amount": 3}},
        {"when": {"region": ["na"], "class": ["a", "b"]}, "price": GRADUATED},
    ],
}
HITS = {
    "model": "per_unit",
    "unit_amount": "0.01",
    "discount": {
        "percent": 10,
        "when": {"meter": "hits", "combine": {"how": "ratio", "meters": ["quantity"]}, "at_least": "0.9"},
    },
}


def test_a_quote_explains_itself_line_by_line() -> None:
    found = quote({**GRADUATED, "convert": {"divide_by": 1000, "round": "up"}, "minimum_amount": 1}, 11_001)
    assert (found.amount, found.rounded, found.currency) == (1, Decimal("1.00"), "USD")
    assert [(line.step, line.quantity, line.unit_amount, line.amount) for line in found.lines] == [
        ("divided by 1000, rounded up", 12, 0, 0),
        ("tier 1: above 0 up to 10", 10, 0, 0),
        ("tier 2: above 10", 2, Decimal("0.3335"), Decimal("0.667")),
        ("up to the minimum of 1", 1, Decimal("0.333"), Decimal("0.333")),
    ]


def test_every_step_of_the_pipeline_has_its_line_in_the_order_in_which_it_acts() -> None:
    price = {
        "model": "package",
        "package_size": 10,
        "amount": 7,
        "convert": {"divide_by": 2},
        "free_units": 5,
        "usage_discount": 20,
        "discount_percent": 10,
        "discount": {"percent": 50, "when": {"meter": "quantity", "above": 100}},
        "maximum_amount": 11,
    }
    assert [(line.step, line.quantity, line.amount) for line in quote(price, 110).lines] == [
        ("divided by 2, exactly", 55, 0),
        ("beyond the free 5", 50, 0),
        ("less 20 percent of the quantity", 40, 0),
        ("blocks of 10, a begun one is whole", 4, 0),
        ("units", 4, 28),
        ("discount 10 percent", 28, Decimal("-2.8")),
        ("discount, its condition met 50 percent", Decimal("25.2"), Decimal("-12.6")),
        ("down to the maximum of 11", 1, Decimal("-1.6")),
    ]
    assert quote(price, 110).amount == 11
    assert [line.step for line in quote(price, 100).lines][-1] == "down to the maximum of 11"


@pytest.mark.parametrize("quantity", [12, "12", "12.0", Decimal(12), Decimal("12.00"), Fraction(24, 2)])
def test_a_quantity_may_be_written_in_every_exact_way(quantity: Any) -> None:
    assert quote(GRADUATED, quantity).amount == Decimal("0.667")


@pytest.mark.parametrize("quantity", [0.5, True, None, [1]])
def test_a_quantity_that_is_no_exact_number_is_a_type_error(quantity: Any) -> None:
    with pytest.raises(TypeError, match="is no exact number"):
        quote(GRADUATED, quantity)


@pytest.mark.parametrize("quantity", ["1e3", "NaN", "", " 1", "1_000", Decimal("NaN"), Decimal("Infinity")])
def test_a_quantity_that_is_no_plain_decimal_is_refused(quantity: Any) -> None:
    with pytest.raises(ValueError):
        quote(GRADUATED, quantity)


def test_a_struct_and_its_plain_form_quote_the_same() -> None:
    struct = Graduated("p", "m", (Tier(up_to=10, unit_amount=0), Tier(unit_amount="0.3335")))
    assert quote(struct, 15) == quote(GRADUATED, 15) == quote({**GRADUATED, "id": "p", "meter": "m"}, 15)


def test_marginal_is_what_the_difference_adds() -> None:
    assert marginal(GRADUATED, 5, 15) == Decimal("1.6675")
    assert marginal(GRADUATED, 15, 5) == Decimal("-1.6675")
    assert marginal(GRADUATED, "7.5", Decimal(10)) == 0
    assert rating.marginal is marginal


def test_marginal_of_a_matrix_asks_for_its_dimensions() -> None:
    assert marginal(MATRIX, 10, 15, context={"region": "na", "class": "b"}) == Decimal("0.83375")
    with pytest.raises(OneNumberIsNotEnoughError, match="give region, class in the context"):
        marginal(MATRIX, 10, 15)


@pytest.mark.parametrize(
    ("currency", "rounded"),
    [("USD", "1.67"), ("JPY", "2"), ("KWD", "1.668"), ("credits/0", "2"), ("tokens/4", "1.6675")],
)
def test_a_currency_has_its_digits(currency: str, rounded: str) -> None:
    assert str(quote(GRADUATED, 15, currency=currency).rounded) == rounded


@pytest.mark.parametrize("currency", ["usd", "UDS", "credits", "credits/", "Credits/0", "credits/12", ""])
def test_a_currency_that_there_is_not_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 4217 code"):
        quote(GRADUATED, 15, currency=currency)


def test_the_context_chooses_the_cell_and_the_terms_of_the_matrix_follow() -> None:
    found = quote(MATRIX, 15, context={"region": "na", "class": "b"})
    assert found.amount == Decimal("0.83375")
    assert [line.step for line in found.lines][-1] == "discount 50 percent"
    assert quote(MATRIX, 2, context={"region": "eu", "class": "a"}).amount == 3
    with pytest.raises(OneNumberIsNotEnoughError, match="give class in the context"):
        quote(MATRIX, 2, context={"region": "eu"})
    with pytest.raises(OneNumberIsNotEnoughError, match="no matrix row for 'eu b', and no default"):
        quote(MATRIX, 2, context={"region": "eu", "class": "b"})


def test_a_condition_looks_at_the_quoted_quantity_and_at_the_context() -> None:
    assert quote(HITS, 1000, context={"hits": 900}).amount == 9
    assert quote(HITS, 1000, context={"hits": "899.9"}).amount == 10
    with pytest.raises(OneNumberIsNotEnoughError, match="depends on hits: give the quantity"):
        quote(HITS, 1000)


@pytest.mark.parametrize(
    ("bound", "met"),
    [("at_least", (False, True, True)), ("above", (False, False, True)), ("at_most", (True, True, False)),
     ("below", (True, False, False))],
)  # fmt: skip
def test_a_bound_is_reached_or_passed(bound: str, met: tuple[bool, ...]) -> None:
    discount = {"percent": 100, "when": {"meter": "quantity", bound: 10}}
    price = {"model": "per_unit", "unit_amount": 1, "discount": discount}
    assert tuple(quote(price, quantity).amount == 0 for quantity in ("9.999", 10, "10.001")) == met


def test_a_price_of_two_meters_does_not_take_its_quantity_for_that_of_the_first() -> None:
    discount = {"percent": 10, "when": {"meter": "quantity", "above": 10}}
    price = {"model": "per_unit", "unit_amount": 1, "combine": {"how": "sum", "meters": ["m"]}, "discount": discount}
    assert quote(price, 100, context={"quantity": 11}).amount == 90
    with pytest.raises(OneNumberIsNotEnoughError, match="depends on quantity"):
        quote(price, 100)


def test_the_terms_of_a_matrix_may_depend_on_a_condition() -> None:
    price = {**MATRIX, "discount": {"percent": 10, "when": {"meter": "quantity", "at_least": 10}}}
    eu = {"region": "eu", "class": "a"}
    assert quote(price, 9, context=eu).amount == Decimal("13.5")
    found = quote(price, 10, context=eu)
    assert found.amount == Decimal("13.5")
    assert [line.step for line in found.lines] == [
        "units",
        "discount 50 percent",
        "discount, its condition met 10 percent",
    ]


def test_what_a_price_asks_for_is_handed_to_its_inner_price() -> None:
    hits = {"model": "matrix", "dimensions": ["region"], "cell": [{"when": {"region": ["eu"]}, "price": HITS}]}
    assert quote(hits, 1000, context={"region": "eu", "hits": 900}).amount == 9
    cell = {"when": {"region": ["eu"]}, "price": {"model": "dynamic", "currency": "EUR"}}
    matrix = {"model": "matrix", "dimensions": ["region"], "cell": [cell]}
    assert quote(matrix, 4, context={"region": "eu"}, currency="EUR").amount == 4
    with pytest.raises(MixedCurrencyError):
        quote(matrix, 4, context={"region": "eu"})


def test_the_quoted_quantity_takes_the_place_of_that_of_a_recurring_price() -> None:
    unit = {"model": "per_unit", "unit_amount": 12}
    seats = {"model": "recurring", "quantity": 5, "price": unit, "minimum_amount": 30}
    assert [quote(seats, quantity).amount for quantity in (0, 2, 7)] == [30, 30, 84]


def test_money_in_one_currency_is_not_quoted_in_another() -> None:
    price = {"model": "percentage", "percent": "2.9", "currency": "EUR"}
    assert quote(price, 100, currency="EUR").amount == Decimal("2.9")
    with pytest.raises(MixedCurrencyError, match="is of a meter in EUR; quote it in that, not in USD"):
        quote(price, 100)
    assert marginal(price, 100, 200) == Decimal("2.9")


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ({}, "model"),
        ({"model": "per_unit"}, "unit_amount"),
        ({"model": "per_unit", "unit_amount": 0.1}, r"got `float` - at `\$.unit_amount`"),
        ({"model": "per_unit", "unit_amount": 1, "unit": 1}, "unknown field `unit`"),
        ({"model": "graduated", "tiers": [{"up_to": 1, "unit_amount": 1}]}, r"tiers\[0\].up_to: must be left out"),
        ({"model": "recurring", "quantity": 1, "price": 3}, r"Expected `object`, got `int` - at `\$.price`"),
        (
            {
                "model": "recurring",
                "quantity": 1,
                "price": {"model": "per_unit", "unit_amount": 1, "rollup": {"every": "1d", "over": "sum"}},
            },
            "price: is of a fixed quantity",
        ),
        ({"model": "matrix", "dimensions": ["x"], "cell": [1]}, r"Expected `object`, got `int` - at `\$.cell\[0\]`"),
    ],
)
def test_a_bad_plain_price_is_refused_with_its_path(price: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        quote(price, 1)


def test_inner_prices_take_id_and_meter_of_the_outer_one() -> None:
    matrix: Any = read_price({**MATRIX, "id": "egress", "meter": "gb", "default": {"model": "flat", "amount": 1}})
    assert [cell.price.id for cell in matrix.cell] == ["egress/eu/a", "egress/na/a+b"]
    assert {cell.price.meter for cell in matrix.cell} == {"gb"}
    assert (matrix.default.id, matrix.default.meter) == ("egress/other", None)
