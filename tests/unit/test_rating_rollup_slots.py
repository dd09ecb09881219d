"""Slots by example: across series, across meters, into slots without usage, exact throughout."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from rating.prices import Combine, PerUnit, Rollup
from rating.rollups import period_quantity
from rating.states import Mean, Members
from rating.totals import DAY_MS, Total, day_ms
from tests.unit.rating_usage import HOUR_MS, NOVEMBER, used

START_MS = day_ms(NOVEMBER.start)


def rolled(totals: list[Total], through_day: int, combine: Combine | None = None, **how: Any) -> Decimal | Fraction:
    price = PerUnit("p", "m", "1", rollup=Rollup(**{"every": "1d", "over": "sum"} | how), combine=combine)
    return period_quantity(price, totals, START_MS, START_MS + through_day * DAY_MS)


def seen(day: int, *names: bytes, **dimensions: str) -> Total:
    return used("m", Members(frozenset(names)), day=day, **dimensions)


def test_states_of_all_series_merge_within_a_slot() -> None:
    totals = [seen(0, b"a", b"b", zone="x"), seen(0, b"b", b"c", zone="y"), seen(1, b"a", zone="x")]
    assert rolled(totals, 2, series="merge") == 4
    assert rolled(totals, 2, series="sum") == 5
    assert rolled(totals, 2, series="max") == 3


def test_states_are_carried_into_slots_without_usage_series_by_series() -> None:
    totals = [seen(-1, b"a", zone="x"), seen(1, b"b", zone="y"), seen(2, b"a", b"b", zone="x")]
    assert rolled(totals, 4, series="merge", missing="carry") == 1 + 2 + 2 + 2
    assert rolled(totals, 4, series="merge") == 1 + 2
    assert rolled(totals, 4, series="sum", missing="carry") == 1 + 2 + 3 + 3


def test_a_period_without_an_end_ends_where_it_is_looked_at() -> None:
    totals = [used("m", 6, day=0), used("m", 3, day=1)]
    assert rolled(totals, 3, over="mean") == 3
    assert rolled(totals, 3, over="min") == 0
    assert rolled(totals, 2, over="min") == 3


def test_a_meter_without_usage_in_a_slot_counts_as_nothing_there() -> None:
    totals = [used("m", 5, day=0), used("m", 7, day=1), used("other", 2, day=1), used("other", 1, day=2)]
    for how, expected in (("sum", 15), ("difference", 9), ("ratio", Decimal("3.5"))):
        assert rolled(totals, 3, Combine(how, ("other",))) == expected  # type: ignore[arg-type]


def test_a_window_may_end_with_its_slot_and_not_a_millisecond_later() -> None:
    assert rolled([used("m", 1, at_ms=DAY_MS - HOUR_MS)], 2) == 1
    with pytest.raises(ValueError, match="a window of 3600 s of meter 'm' is not inside one slot of 86400 s"):
        rolled([used("m", 1, at_ms=DAY_MS - HOUR_MS, size_ms=HOUR_MS + 1)], 2)


@pytest.mark.parametrize(("each", "expected"), [("sum", 9), ("mean", 3), ("max", 6), ("min", 1), ("last", 2)])
def test_the_windows_of_a_slot_become_one_value(each: str, expected: int) -> None:
    totals = [used("m", value, at_ms=hour * HOUR_MS) for hour, value in ((0, 6), (2, 2), (1, 1))]
    assert rolled(totals, 1, each=each) == expected


def test_quotients_and_decimals_add_up_and_are_told_apart_exactly() -> None:
    third, half = Mean(Decimal(1), 3), Mean(Decimal(1), 2)
    assert rolled([used("m", third, day=0), used("m", half, day=1)], 2) == Fraction(5, 6)
    other = used("other", third, day=0)
    assert rolled([used("m", half, day=0), other], 1, Combine("difference", ("other",))) == Fraction(1, 6)
    long = "0." + "1" * 40
    totals = [used("m", 1, day=0), used("other", long, day=0)]
    assert rolled(totals, 1, Combine("difference", ("other",))) == 1 - Fraction(long)
