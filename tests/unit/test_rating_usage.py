"""Prices that need more than one number: per dimension, by matrix, on a condition, over segments of a period."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from rating.days import usage_days
from rating.periods import Period
from rating.pools import allocated, shares
from rating.prices import Price, meters_of, needs_totals, price_amount, read_price
from rating.totals import Total
from rating.usage import price_usage
from tests.unit.rating_usage import NOVEMBER, daily_peaks, used

ZONES = [used("gb", 12, zone="a"), used("gb", 3, day=4, zone="b"), used("gb", 1, day=9)]
TIERS = [{"up_to": 2, "unit_amount": 0, "flat_amount": 5}, {"unit_amount": 1}]
FEE = {"model": "graduated", "meter": "gb", "tiers": TIERS}
MATRIX = {
    "model": "matrix",
    "id": "egress",
    "meter": "gb",
    "dimensions": ["zone"],
    "cell": [{"when": {"zone": ["a", "b"]}, "price": FEE}],
}


def parts(price: Price, totals: list[Total]) -> list[tuple[dict[str, str], Decimal]]:
    return [(dict(part.values), part.amount) for part in price_usage(price, totals, NOVEMBER).parts]


def test_each_value_of_a_dimension_has_its_own_tiers_and_terms() -> None:
    price = read_price({**FEE, "per": ["zone"], "maximum_amount": 10})
    assert parts(price, ZONES) == [({"zone": ""}, 5), ({"zone": "a"}, 10), ({"zone": "b"}, 6)]
    assert parts(price, []) == []
    assert parts(read_price({**FEE, "maximum_amount": 10}), []) == [({}, 0)]


def test_per_subject_and_per_account_need_no_dimension() -> None:
    totals = [used("gb", 3, subject="s1", account="x"), used("gb", 4, subject="s2", account="x")]
    assert parts(read_price({**FEE, "per": ["subject"]}), totals) == [({"subject": "s1"}, 6), ({"subject": "s2"}, 7)]
    assert parts(read_price({**FEE, "per": ["account"]}), totals) == [({"account": "x"}, 10)]
    named = [used("gb", 3, subject="s1", account="x")]
    assert parts(read_price({**FEE, "per": ["account"]}), named) == [({"account": "x"}, 6)]


def test_the_values_of_one_cell_are_pooled_and_the_rest_goes_to_the_default_or_is_refused() -> None:
    priced = price_usage(read_price(MATRIX), ZONES, NOVEMBER)
    assert [(part.values, part.quantity, part.amount) for part in priced.parts] == [({"zone": "a+b"}, 15, 18)]
    assert [(one.values, one.quantity, one.reason) for one in priced.refused] == [
        ({"zone": ""}, 1, "no matrix row for zone ''")
    ]
    with_default = read_price({**MATRIX, "default": {"model": "package", "package_size": 10, "amount": 2}})
    assert parts(with_default, ZONES) == [({"zone": ""}, 2), ({"zone": "a+b"}, 18)]


def test_the_terms_of_a_matrix_apply_to_the_sum_of_its_cells() -> None:
    price = read_price({**MATRIX, "discount_percent": 50, "minimum_amount": 20})
    priced = price_usage(price, ZONES, NOVEMBER, steps=True)
    assert [(dict(part.values), part.amount) for part in priced.parts] == [({"zone": "a+b"}, 18), ({}, 2)]
    assert [step.step for step in priced.parts[1].steps] == ["discount 50 percent", "up to the minimum of 20"]
    assert price_usage(price, [], NOVEMBER).amount == 20
    assert price_amount(price, Decimal(0)) == 20


def test_a_matrix_for_each_value_of_another_dimension() -> None:
    totals = [used("gb", 3, zone="a", team="x"), used("gb", 4, zone="b", team="x"), used("gb", 5, zone="a", team="y")]
    assert parts(read_price({**MATRIX, "per": ["team"]}), totals) == [
        ({"team": "x", "zone": "a+b"}, 10),
        ({"team": "y", "zone": "a"}, 8),
    ]


def test_a_cell_takes_the_rollup_of_its_matrix_unless_it_has_one() -> None:
    """Peaks of 4 and 6 GB on two days: their maximum for the cell of zone a, their sum for that of zone b."""
    own = {"model": "per_unit", "unit_amount": 1, "rollup": {"every": "1d", "each": "max", "over": "sum"}}
    price = read_price(
        {
            **MATRIX,
            "rollup": {"every": "1d", "each": "max", "over": "max"},
            "cell": [
                {"when": {"zone": ["a"]}, "price": {"model": "per_unit", "unit_amount": 1}},
                {"when": {"zone": ["b"]}, "price": own},
            ],
        }
    )
    totals = [used("gb", peak, day=day, zone=zone) for zone in "ab" for day, peak in ((0, 4), (1, 6))]
    assert parts(price, totals) == [({"zone": "a"}, 6), ({"zone": "b"}, 10)]


HIT_RATIO = {
    "model": "per_unit",
    "meter": "gb",
    "unit_amount": 10,
    "discount": {
        "percent": 25,
        "when": {"meter": "hits", "combine": {"how": "ratio", "meters": ["requests"]}, "at_least": "0.9"},
    },
}


def test_a_discount_depends_on_a_ratio_of_other_meters_and_applies_to_all_of_the_period() -> None:
    price = read_price(HIT_RATIO)
    totals = [
        *(used("gb", 1, day=day) for day in (0, 1)),
        used("requests", 100),
        used("hits", 85),
        used("requests", 100, day=1),
        used("hits", 95, day=1),
    ]
    days = [date(2026, 11, 1), date(2026, 11, 2)]
    rows = [row for row, _ in usage_days(price, totals, NOVEMBER, days)]
    assert [row.amount for row in rows] == [0, 10, 5]
    assert [row.day for row in rows] == [None, *days]
    assert rows[0].quantity == rows[0].quantity_total == 0
    assert [after.quantity_total - before.quantity_total for before, after in pairwise(rows)] == [
        row.quantity for row in rows[1:]
    ]
    assert rows[-1].quantity_total > 0
    assert price_usage(price, totals, NOVEMBER).amount == 15
    assert price_usage(price, totals, NOVEMBER, date(2026, 11, 2)).amount == 10


def test_what_a_price_looks_at_is_known() -> None:
    assert meters_of(read_price(HIT_RATIO)) == {"gb", "hits", "requests"}
    assert meters_of(read_price({**MATRIX, "default": HIT_RATIO})) == {"gb", "hits", "requests"}
    assert meters_of(read_price({"model": "flat", "amount": 1})) == set()
    assert [needs_totals(read_price(price)) for price in (FEE, HIT_RATIO, MATRIX, {**FEE, "per": ["zone"]})] == [
        *(False, True, True, True)
    ]


def test_the_mean_over_the_segments_of_a_month_adds_up_to_that_of_the_month() -> None:
    price = read_price(
        {"model": "per_unit", "meter": "gb", "unit_amount": 3, "rollup": {"every": "1d", "each": "max", "over": "mean"}}
    )
    totals = daily_peaks("gb", ["10"] * 10 + ["40"] * 20, NOVEMBER)
    middle = date(2026, 11, 16)
    halves = [Period(NOVEMBER.start, middle), Period(middle, NOVEMBER.end)]
    assert [price_usage(price, totals, half, whole=NOVEMBER).amount for half in halves] == [30, 60]
    assert price_usage(price, totals, NOVEMBER).amount == 90


def test_seats_are_owed_from_the_opening_row_on_whatever_is_used() -> None:
    price = read_price({"model": "recurring", "quantity": 12, "price": {"model": "per_unit", "unit_amount": 4}})
    ((opening, _), (day, _)) = usage_days(price, ZONES, NOVEMBER, [NOVEMBER.start])
    assert (opening.quantity, opening.amount, day.amount) == (12, 48, 0)
    assert price.meter is None


def test_days_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending order"):
        usage_days(read_price(FEE), ZONES, NOVEMBER, [NOVEMBER.start, NOVEMBER.start])


def test_a_pool_is_given_back_by_usage_alone() -> None:
    price = read_price({**FEE, "allocate_by": "zone"})
    by = shares(price, [*ZONES, used("gb", -7, zone="c")], NOVEMBER)
    assert by == {"": 1, "a": 12, "b": 3, "c": -7}
    assert list(allocated(Decimal("0.05"), "USD", by).values()) == [0, Decimal("0.04"), Decimal("0.01"), 0]
    assert allocated(Decimal(5), "JPY", {"a": Decimal(0), "b": Decimal(0)}) == {"a": 3, "b": 2}


def test_what_cannot_be_given_back_raises() -> None:
    with pytest.raises(ValueError, match="has no allocate_by"):
        shares(read_price(FEE), ZONES, NOVEMBER)
    with pytest.raises(ValueError, match=r"0.005 is not rounded to USD"):
        allocated(Decimal("0.005"), "USD", {"a": Decimal(1)})
    with pytest.raises(ValueError, match="nobody to pay 5"):
        allocated(Decimal(5), "USD", {})
