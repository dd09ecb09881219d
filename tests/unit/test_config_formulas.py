"""Formulas of meters: how they are written, and what is wrong with them."""

from typing import Any

import pytest

from config.formulas import FACTORS_MAX, Formula


def names(**fields: Any) -> list[str]:
    return [name for name, _ in Formula(fields.pop("product", ("a",)), **fields).faults(precision=2)]


def test_the_amounts_of_a_formula_have_one_form() -> None:
    made = Formula(("a",), round_to="05.0", minimum=1, maximum="2.50", fee="0.10")
    assert (made.round_to, made.minimum, made.maximum, made.fee) == ("5", "1", "2.5", "0.1")
    assert (Formula(("a",)).round_to, Formula(("a",)).minimum, Formula(("a",)).maximum) == (None, None, None)


def test_each_factor_is_read_with_its_own_decimals_or_those_of_the_meter() -> None:
    assert Formula(("a", "b.c")).factors(3) == (("a", 3), ("b.c", 3))
    assert Formula(("a", "b.c"), digits=(0, 6)).factors(3) == (("a", 0), ("b.c", 6))
    assert str(Formula(("a", "b.c"))) == "a * b.c"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"product": ("a",) * FACTORS_MAX},
        {"digits": (3,)},
        {"round_to": "0.05"},
        {"round_to": 1},
        {"minimum": "0.01", "maximum": "0.01"},
        {"minimum": 1, "maximum": 2},
        {"minimum": 1},
        {"maximum": -1},
        {"fee": "-0.25"},
    ],
)
def test_a_good_formula_has_no_fault(fields: dict[str, Any]) -> None:
    assert names(**fields) == []


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"product": ()}, "product"),
        ({"product": ("a",) * (FACTORS_MAX + 1)}, "product"),
        ({"digits": (3, 3)}, "digits"),
        ({"round_to": "0.005"}, "round_to"),
        ({"round_to": 0}, "round_to"),
        ({"round_to": -1}, "round_to"),
        ({"minimum": "0.001"}, "minimum"),
        ({"minimum": 3, "maximum": 2}, "minimum"),
        ({"maximum": "0.001"}, "maximum"),
        ({"fee": "0.001"}, "fee"),
    ],
)
def test_a_fault_is_that_of_its_field(fields: dict[str, Any], faulty: str) -> None:
    assert names(**fields) == [faulty]
