"""What a price of prices refuses, which meters it looks at, and what its inner prices are given."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from rating.kernels import OneNumberIsNotEnoughError
from rating.prices import Matrix, explain, meters_of, needs_totals, price_amount, read_price

UNIT: dict[str, Any] = {"model": "per_unit", "unit_amount": 2}
ROLLUP = {"every": "1d", "over": "max"}


def matrix(*cells: Any, dimensions: Any = ("zone",), **more: Any) -> dict[str, Any]:
    found = [{"when": when, "price": UNIT} if set(when) != {"when", "price"} else when for when in cells]
    return {"model": "matrix", "id": "m", "meter": "gb", "dimensions": list(dimensions), "cell": found, **more}


def faults(written: dict[str, Any]) -> list[str]:
    with pytest.raises(msgspec.ValidationError) as refused:
        read_price(written)
    return str(refused.value).partition(" - at")[0].split("; ")


EU, US = {"zone": ["eu"]}, {"zone": ["us"]}
EACH_ONCE = "dimensions: must name at least one dimension, each once"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (matrix({}, dimensions=[]), [EACH_ONCE]),
        (matrix(EU, dimensions=["zone", "zone"]), [EACH_ONCE]),
        (matrix(), ["cell: must hold at least one cell"]),
        (
            matrix({"b": ["x"]}, {"zone": []}, EU, {"zone": ["us", "eu"]}),
            [
                "cell[0].when: must give texts for each dimension: zone",
                "cell[1].when: must give texts for each dimension: zone",
                "cell[3].when: 'eu' is already taken by cell[2]",
            ],
        ),
        (
            matrix(EU, default={**UNIT, "meter": "other", "per": ["zone"]}),
            [
                "default.meter: must be gb, as that of the matrix, or left out",
                "default.per: belongs to the outer price",
            ],
        ),
        (
            {
                "model": "recurring",
                "id": "r",
                "quantity": 1,
                "price": {**UNIT, "combine": {"how": "sum", "meters": ["x"]}},
            },
            ["price: is of a fixed quantity, so leave rollup, combine and discount out"],
        ),
        (
            {
                "model": "recurring",
                "id": "r",
                "quantity": 1,
                "price": {**UNIT, "discount": {"percent": 5, "when": {"meter": "x", "above": 1}}},
            },
            ["price: is of a fixed quantity, so leave rollup, combine and discount out"],
        ),
        (
            {"model": "recurring", "id": "r", "quantity": 1, "price": matrix(EU)},
            ["price: is of a fixed quantity, which has no dimensions that choose a cell"],
        ),
        (
            {"model": "recurring", "id": "r", "quantity": -1, "price": {**UNIT, "per": ["zone"]}},
            ["quantity: must not be negative", "price.per: belongs to the outer price"],
        ),
    ],
)
def test_every_fault_is_said_with_its_path(written: dict[str, Any], expected: list[str]) -> None:
    assert faults(written) == expected


def test_each_combination_has_the_price_of_its_cell_under_the_rollup_of_the_matrix() -> None:
    own = {"every": "1h", "over": "min"}
    cell = {"when": {"zone": ["us"], "kind": ["a", "b"]}, "price": {**UNIT, "rollup": own}}
    other = {"when": {"zone": ["eu"], "kind": ["a"]}, "price": UNIT}
    price = read_price(matrix(cell, other, dimensions=["zone", "kind"], rollup=ROLLUP, default=UNIT))
    assert isinstance(price, Matrix)
    assert {key: (one.id, one.rollup.over) for key, one in price.cells.items() if one.rollup} == {
        ("us", "a"): ("m/us/a+b", "min"),
        ("us", "b"): ("m/us/a+b", "min"),
        ("eu", "a"): ("m/eu/a", "max"),
    }
    assert price.cells["us", "a"] is price.cells["us", "b"]
    assert price.fallback is not None
    assert price.fallback.rollup == price.rollup
    assert price.cells["eu", "a"].meter == price.fallback.meter == "gb"
    bare = read_price(matrix(EU, default={"model": "flat", "amount": 3}, rollup=ROLLUP))
    assert isinstance(bare, Matrix)
    assert bare.fallback is bare.default, "a flat price has no quantity to roll up"
    without = read_price(matrix(EU))
    assert isinstance(without, Matrix)
    assert without.fallback is None


def test_a_discount_on_a_condition_is_given_only_where_it_is_said_to_hold() -> None:
    price = read_price({**UNIT, "discount": {"percent": 50, "when": {"meter": "quantity", "above": 100}}})
    assert (price_amount(price, Decimal(10)), price_amount(price, Decimal(10), True)) == (Decimal(20), Decimal(10))
    assert [step.amount for step in explain(price, Decimal(10))] == [20]
    assert sum(step.amount for step in explain(price, Decimal(10), True)) == 10


def test_a_price_looks_at_the_meters_of_all_its_parts() -> None:
    combine = {"how": "sum", "meters": ["b", "c"]}
    when = {"meter": "d", "combine": {"how": "ratio", "meters": ["e"]}, "above": 1}
    assert meters_of(read_price({**UNIT, "meter": "a", "combine": combine})) == {"a", "b", "c"}
    assert meters_of(read_price({**UNIT, "meter": "a", "discount": {"percent": 1, "when": when}})) == {"a", "d", "e"}
    assert meters_of(read_price({"model": "flat", "amount": 1})) == set()
    inner = {"when": EU, "price": {**UNIT, "combine": {"how": "sum", "meters": ["x"]}}}
    default = {**UNIT, "combine": {"how": "sum", "meters": ["y"]}}
    assert meters_of(read_price(matrix(inner, US, default=default))) == {"gb", "x", "y"}
    assert meters_of(read_price(matrix(EU))) == {"gb"}


@pytest.mark.parametrize(
    "more",
    [
        {"rollup": ROLLUP},
        {"combine": {"how": "sum", "meters": ["b"]}},
        {"discount": {"percent": 1, "when": {"meter": "b", "above": 1}}},
        {"per": ["zone"]},
    ],
)
def test_what_one_number_cannot_tell_needs_the_totals(more: dict[str, Any]) -> None:
    assert needs_totals(read_price({**UNIT, **more}))
    assert not needs_totals(read_price(UNIT))
    assert needs_totals(read_price(matrix(EU)))


def test_a_plain_price_is_called_price_of_a_quantity() -> None:
    price = read_price(UNIT)
    assert (price.id, price.meter) == ("price", "quantity")
    assert read_price({"model": "flat", "amount": 1, "meter": "quantity"}).meter is None
    assert read_price({"model": "recurring", "quantity": 2, "meter": "quantity", "price": UNIT}).meter is None


def test_inner_prices_of_inner_prices_are_named_after_them() -> None:
    inner = matrix(EU)
    del inner["id"], inner["meter"]
    price: Any = read_price(matrix({"when": US, "price": inner}, default={"model": "flat", "amount": 1}))
    assert price.cell[0].price.id == "m/us"
    assert (price.cell[0].price.cell[0].price.id, price.cell[0].price.cell[0].price.meter) == ("m/us/eu", "gb")
    assert (price.default.id, price.default.meter) == ("m/other", None)
    recurring: Any = read_price({"model": "recurring", "id": "seats", "quantity": 2, "price": UNIT})
    assert (recurring.price.id, recurring.price.meter) == ("seats", "quantity")
    assert price_amount(recurring, Decimal(99)) == 4
    assert [step.amount for step in explain(recurring, Decimal(99))] == [4]


@pytest.mark.parametrize("when", [7, ["eu"], {"zone": 7}, {"zone": None}])
def test_a_cell_that_is_not_shaped_as_it_should_be_is_refused_and_no_crash(when: Any) -> None:
    (fault,) = faults(matrix({"when": when, "price": UNIT}))
    assert fault.startswith("Expected `")


def test_a_cell_may_hold_what_has_no_meter() -> None:
    seats = {"model": "recurring", "quantity": 2, "price": UNIT}
    price: Any = read_price(matrix({"when": EU, "price": seats}))
    assert (price.cell[0].price.id, price.cell[0].price.meter) == ("m/eu", None)


def test_a_matrix_says_its_name_where_the_dimensions_are_not_known() -> None:
    price = read_price(matrix(EU))
    assert price_amount(price, Decimal(0)) == 0
    with pytest.raises(OneNumberIsNotEnoughError, match="price 'm' is a matrix"):
        price_amount(price, Decimal(1))
