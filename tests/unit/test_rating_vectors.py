"""Hand-worked amounts, each with the rule or the public price that it illustrates."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rating import quote

PRICES = tomllib.loads((Path(__file__).parent / "rating_vectors.toml").read_text())["price"]
BESIDE = ("source", "at", "rounded", "currency", "context")  # what is about the vectors and not of the price
VECTORS = [(price, *vector) for price in PRICES for vector in price["at"]]
ROUNDED = [(price, *vector) for price in PRICES for vector in price.get("rounded", [])]


def asked(price: dict[str, Any]) -> dict[str, Any]:
    return {"currency": price.get("currency", "USD"), "context": price.get("context")}


def bare(price: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in price.items() if name not in BESIDE}


@pytest.mark.parametrize(("price", "quantity", "amount", "rule"), VECTORS)
def test_a_hand_worked_amount_comes_out_and_its_lines_add_up(
    price: dict[str, Any], quantity: str, amount: str, rule: str
) -> None:
    found = quote(bare(price), quantity, **asked(price))
    assert found.amount == Decimal(amount), (price["source"], rule)
    assert sum(Fraction(line.amount) for line in found.lines) == Fraction(found.amount)


@pytest.mark.parametrize(("price", "quantity", "rounded"), ROUNDED)
def test_a_hand_worked_rounding_comes_out(price: dict[str, Any], quantity: str, rounded: str) -> None:
    assert str(quote(bare(price), quantity, **asked(price)).rounded) == rounded, price["source"]


def test_there_are_enough_vectors_and_each_names_its_rule() -> None:
    assert len(VECTORS) >= 150
    assert all(price["source"] and rule for price, _, _, rule in VECTORS)
    assert {price["model"] for price in PRICES} == {
        *("flat", "per_unit", "graduated", "volume", "dynamic", "percentage", "matrix", "recurring"),
        *("package", "block_graduated", "block_volume", "capacity", "tiered_percentage"),
    }
