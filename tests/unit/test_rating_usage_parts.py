"""Which totals a price looks at, and which part of it, and of a pool, they belong to."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from rating.pools import allocated, shares, span_shares
from rating.prices import Price, read_price
from rating.totals import Total, day_ms
from rating.usage import carries, price_span, price_usage, rolled_up_within_a_day, span_of
from tests.unit.rating_usage import HOUR_MS, NOVEMBER, OCTOBER, used

UNIT = {"model": "per_unit", "meter": "gb", "unit_amount": "2"}
EACH = {**UNIT, "per": ["zone"]}
CELL = {"when": {"zone": ["a", "b"]}, "price": {"model": "per_unit", "unit_amount": "2"}}
MATRIX = {"model": "matrix", "meter": "gb", "dimensions": ["zone"], "cell": [CELL]}
SPAN = span_of(NOVEMBER, date(2026, 11, 11), None)


def amounts(price: dict[str, Any], totals: list[Total], through: date | None = None) -> list[tuple[str, Decimal]]:
    priced = price_usage(read_price(price), totals, NOVEMBER, through)
    return [(part.values.get("zone", ""), part.amount) for part in priced.parts]


def test_only_usage_of_its_meters_and_of_the_days_asked_for_makes_a_part() -> None:
    totals = [
        used("gb", 1, day=29, period=OCTOBER, zone="before"),
        used("gb", 1, zone="a"),
        used("gb", 1, day=10, zone="at the end"),
        used("other", 1, zone="other"),
    ]
    assert amounts(EACH, totals, date(2026, 11, 11)) == [("a", 2)]
    assert amounts(EACH, totals) == [("a", 2), ("at the end", 2)]


def test_what_is_carried_comes_from_before_the_period_and_nothing_else_does() -> None:
    before = [used("gb", 3, day=30, at_ms=23 * HOUR_MS, period=OCTOBER, zone="a")]
    carry = {"every": "1d", "over": "sum", "missing": "carry"}
    assert amounts({**EACH, "rollup": carry}, before, date(2026, 11, 3)) == [("a", 12)]
    assert amounts({**EACH, "rollup": {**carry, "missing": "zero"}}, before, date(2026, 11, 3)) == []
    inside = {**MATRIX, "cell": [{**CELL, "price": {**CELL["price"], "rollup": carry}}]}  # type: ignore[dict-item]
    assert amounts(inside, before, date(2026, 11, 3)) == [("a", 12)]


def test_slots_are_ranked_to_the_end_of_the_period_whatever_is_known_by_now() -> None:
    price = {**UNIT, "rollup": {"every": "1h", "over": "percentile", "percentile": "50"}}
    hours = [used("gb", 5, at_ms=hour * HOUR_MS) for hour in range(24)]
    assert amounts(price, hours, date(2026, 11, 2)) == [("", 0)], "696 hours of November are without usage"
    assert (SPAN.start_ms, SPAN.through_ms) == (day_ms(NOVEMBER.start), day_ms(date(2026, 11, 11)))
    assert (SPAN.end_ms, SPAN.divisor_ms) == (day_ms(NOVEMBER.end), 30 * 24 * HOUR_MS)
    beyond = span_of(NOVEMBER, date(2027, 1, 1), OCTOBER)
    assert (beyond.through_ms, beyond.divisor_ms) == (day_ms(NOVEMBER.end), 31 * 24 * HOUR_MS)


def test_parts_are_explained_where_it_is_asked_for_alone() -> None:
    totals = [used("gb", 1, zone="a")]
    for price in (UNIT, EACH, {**MATRIX, "minimum_amount": "7"}):
        priced = [
            price_usage(read_price(price), totals, NOVEMBER),
            price_span(read_price(price), totals, SPAN),
        ]
        assert not any(part.steps for one in priced for part in one.parts)
        explained = price_usage(read_price(price), totals, NOVEMBER, steps=True)
        assert sum(step.amount for part in explained.parts for step in part.steps) == explained.amount
        assert all(part.steps for part in explained.parts)


def test_a_discount_of_a_matrix_holds_where_its_condition_does() -> None:
    when = {"meter": "hits", "above": "5"}
    price = {**MATRIX, "discount": {"percent": "50", "when": when}}
    usage = [used("gb", 4, zone="b")]
    assert amounts(price, [*usage, used("hits", 5, zone="a")]) == [("b", 8)]
    met = [*usage, used("hits", 6, zone="a")]
    assert amounts(price, met) == [("b", 8), ("", -4)], "usage of the condition's meter in a cell of its own is no part"
    (_, whole) = price_usage(read_price(price), met, NOVEMBER, steps=True).parts
    assert [(step.step, step.amount) for step in whole.steps] == [("discount, its condition met 50 percent", -4)]


def test_what_a_matrix_refuses_is_said_for_each_value_that_it_is_priced_by() -> None:
    price = read_price({**MATRIX, "per": ["team"]})
    totals = [used("gb", 1, zone="x", team="t"), used("gb", 2, zone="a", team="t"), used("gb", 3, zone="y", team="u")]
    refused = price_usage(price, totals, NOVEMBER).refused
    assert [(one.values, one.quantity) for one in refused] == [
        ({"team": "t", "zone": "x"}, 1),
        ({"team": "u", "zone": "y"}, 3),
    ]


def rolled(**rollup: str) -> Price:
    return read_price({**UNIT, "rollup": {"over": "sum", **rollup}})


def celled(where: str, **rollup: str) -> Price:
    inner = {"model": "per_unit", "unit_amount": "2", "rollup": {"over": "sum", **rollup}}
    if where == "cell":
        return read_price({**MATRIX, "cell": [CELL, {"when": {"zone": ["c"]}, "price": inner}]})
    return read_price({**MATRIX, "default": inner})


def test_a_price_tells_whether_it_looks_within_a_day_or_before_the_period() -> None:
    assert not rolled_up_within_a_day(read_price(UNIT))
    assert not rolled_up_within_a_day(read_price(MATRIX))
    assert not carries(read_price(UNIT))
    assert not carries(read_price(MATRIX))
    for missing in ("zero", "skip", "carry"):
        day, hour = rolled(every="1d", missing=missing), rolled(every="1h", missing=missing)
        assert (rolled_up_within_a_day(day), rolled_up_within_a_day(hour)) == (False, True)
        assert {carries(day), carries(hour)} == {missing == "carry"}
        for where in ("cell", "default"):
            day, hour = celled(where, every="1d", missing=missing), celled(where, every="1h", missing=missing)
            assert (rolled_up_within_a_day(day), rolled_up_within_a_day(hour)) == (False, True)
            assert {carries(day), carries(hour)} == {missing == "carry"}


def test_a_pool_is_shared_by_usage_of_its_meter_on_the_days_asked_for() -> None:
    price = read_price({**UNIT, "allocate_by": "zone"})
    totals = [
        used("gb", 3, zone="b"),
        used("gb", 2, zone="a"),
        used("gb", 1, day=10, zone="a"),
        used("other", 9, zone="c"),
        used("gb", 5, day=10, zone="d"),
    ]
    assert shares(price, totals, NOVEMBER, date(2026, 11, 11)) == {"a": 2, "b": 3}
    assert shares(price, totals, NOVEMBER, date(2026, 11, 12)) == {"a": 3, "b": 3, "d": 5}
    assert list(span_shares(price, totals, SPAN)) == ["a", "b"]
    assert span_shares(read_price(UNIT), totals, SPAN) == {}
    mean = read_price({**UNIT, "allocate_by": "zone", "rollup": {"every": "1d", "over": "mean"}})
    halves = [shares(mean, totals[:2], NOVEMBER, whole=whole)["b"] for whole in (None, OCTOBER)]
    assert [Decimal("0.1"), Decimal("0.096774")] == [round(Decimal(float(half)), 6).normalize() for half in halves]


@pytest.mark.parametrize(("amount", "parts"), [("0.00", ["0.00", "0.00"]), ("-0.01", ["-0.01", "0.00"])])
def test_what_nobody_used_is_paid_alike_down_to_nothing(amount: str, parts: list[str]) -> None:
    found = allocated(Decimal(amount), "USD", {"a": Decimal(0), "b": Decimal(-1)})
    assert sorted(map(str, found.values())) == sorted(parts)
    assert allocated(Decimal("0.00"), "USD", {}) == {}
