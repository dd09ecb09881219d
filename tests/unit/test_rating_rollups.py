"""From the windows of a period to its quantity."""

from decimal import Decimal
from fractions import Fraction

import pytest

from rating.prices import Combine, PerUnit, Rollup
from rating.rollups import period_quantity
from rating.states import Count, High, Latest, Low, Mean, Members, State, Sum, merged
from rating.totals import DAY_MS, Total, day_ms
from tests.unit.rating_usage import HOUR_MS, NOVEMBER, used

START_MS, END_MS = day_ms(NOVEMBER.start), day_ms(NOVEMBER.end)


def quantity(
    totals: list[Total], rollup: Rollup | None = None, through_day: int = 30, combine: Combine | None = None
) -> Decimal | Fraction:
    price = PerUnit("p", "m", "1", rollup=rollup, combine=combine)
    return period_quantity(price, totals, START_MS, START_MS + through_day * DAY_MS, period_end_ms=END_MS)


@pytest.mark.parametrize(
    ("states", "merge"),
    [
        ((Sum(Decimal("1.5")), Sum(Decimal(-1))), Decimal("0.5")),
        ((Count(2), Count(3)), 5),
        ((Low(Decimal(2)), Low(Decimal(-3))), -3),
        ((High(Decimal(2)), High(Decimal(-3))), 2),
        ((Mean(Decimal(1), 1), Mean(Decimal(9), 3)), Decimal("2.5")),
        ((Mean(Decimal(1), 1), Mean(Decimal(1), 2)), Fraction(2, 3)),
        ((Latest(5, 0, 1, Decimal(7)), Latest(5, 0, 2, Decimal(8))), 8),
        ((Members(frozenset([b"a", b"b"])), Members(frozenset([b"b"]))), 2),
    ],
)
def test_without_a_rollup_the_states_of_all_windows_merge_as_the_meter_does(
    states: tuple[State, State], merge: Decimal | Fraction
) -> None:
    one, other = states
    assert quantity([used("m", one, day=1, zone="a"), used("m", other, day=9, zone="b")]) == merge
    assert merged([other, one]) == merged([one, other]) == one.merge(other)  # type: ignore[arg-type]


def test_states_of_different_meters_do_not_merge() -> None:
    with pytest.raises(TypeError, match="Sum and Count do not merge"):
        Sum(Decimal(1)).merge(Count(1))  # type: ignore[arg-type]


def test_a_mean_of_nothing_and_no_usage_at_all_are_zero() -> None:
    assert quantity([used("m", Mean(Decimal(0), 0))]) == 0
    assert quantity([]) == 0
    assert merged([]) is None
    assert quantity([], Rollup("1d", "percentile", percentile=95)) == 0
    assert quantity([], Rollup("1d", "max", missing="skip")) == 0
    assert quantity([], Rollup("1d", "mean", missing="skip")) == 0


TWO_ZONES = [
    used("m", 10, day=0, at_ms=0, zone="a"),
    used("m", 4, day=0, at_ms=HOUR_MS, zone="a"),
    used("m", 6, day=0, at_ms=HOUR_MS, zone="b"),
    used("m", 5, day=2, zone="b"),
]


@pytest.mark.parametrize(
    ("rollup", "expected"),
    [
        (Rollup("1d", "sum"), 25),
        (Rollup("1d", "sum", "max"), 21),  # 10 + 6 on the first day, 5 on the third
        (Rollup("1d", "sum", "min"), 15),  # 4 + 6, 5
        (Rollup("1d", "sum", "mean"), 18),  # 7 + 6, 5
        (Rollup("1d", "sum", "last"), 15),  # 4 + 6, 5
        (Rollup("1d", "sum", series="max"), 19),  # 14, 5
        (Rollup("1d", "max"), 20),
        (Rollup("1d", "min"), 0),  # a day without usage
        (Rollup("1d", "min", missing="skip"), 5),
        (Rollup("1d", "mean"), Fraction(25, 30)),
        (Rollup("1d", "mean", divisor=28), Fraction(25, 28)),
        (Rollup("1d", "mean", missing="skip"), Decimal("12.5")),
        (Rollup("1h", "max"), 10),  # 10, then 4 + 6
        (Rollup("1h", "max", rate=True), Fraction(10, 3600)),
        (Rollup("1d", "percentile", percentile=100), 20),
        (Rollup("1d", "percentile", percentile="96.67"), 20),  # rank 30 of 30
        (Rollup("1d", "percentile", percentile="96.6"), 5),  # rank 29
        (Rollup("1d", "percentile", percentile=95), 5),  # rank 28.5, up to 29
        (Rollup("1d", "percentile", percentile=93), 0),  # rank 28 of 28 zeros
        (Rollup("1d", "percentile", percentile=50, missing="skip"), 5),
        (Rollup("1d", "sum", missing="carry"), 572),  # see above
    ],
)
def test_slots_are_taken_of_each_series_then_across_series_then_across_time(
    rollup: Rollup, expected: Decimal | Fraction
) -> None:
    """Carried: zone a stands at 14 for 30 days (420), b at 6 for two and at 5 for 28 (152)."""
    assert quantity(TWO_ZONES, rollup) == expected


def test_percentiles_rank_negative_slots_below_the_missing_ones() -> None:
    totals = [used("m", -3, day=0), used("m", 7, day=1)]
    assert [quantity(totals, Rollup("1d", "percentile", percentile=rank)) for rank in (1, 50, 100)] == [-3, 0, 7]


def test_unique_members_merge_across_series_where_the_rollup_says_so() -> None:
    totals = [
        used("m", Members(frozenset([b"a", b"b"])), day=0, zone="x"),
        used("m", Members(frozenset([b"b"])), day=0, zone="y"),
        used("m", Members(frozenset([b"b"])), day=1, zone="y"),
    ]
    assert quantity(totals) == 2
    assert quantity(totals, Rollup("1d", "sum", series="merge")) == 3
    assert quantity(totals, Rollup("1d", "sum")) == 4


def test_a_window_that_comes_in_parts_is_merged_before_it_is_looked_at() -> None:
    parts = [used("m", 4, day=0), used("m", 6, day=0), used("m", 7, day=0, at_ms=HOUR_MS)]
    assert quantity(parts, Rollup("1d", "sum", "max")) == 10
    assert quantity(parts, Rollup("1d", "sum", "mean")) == Decimal("8.5")


def test_a_value_is_carried_from_before_the_period_and_not_past_the_days_that_are_over() -> None:
    before = used("m", High(Decimal(9)), day=-3)
    rollup = Rollup("1d", "mean", missing="carry")
    assert quantity([before], rollup) == 9
    assert quantity([before], rollup, through_day=10) == 3
    assert quantity([before, used("m", High(Decimal(0)), day=5)], rollup) == Decimal("1.5")
    assert quantity([before], Rollup("1d", "mean")) == 0


def test_days_to_come_and_other_meters_do_not_count() -> None:
    totals = [used("m", 1, day=0), used("m", 2, day=3), used("x", 50, day=0), used("m", 80, day=-1)]
    assert quantity(totals, through_day=3) == 1
    assert quantity(totals) == 3
    assert quantity(totals, Rollup("1d", "max")) == 2


def test_a_window_longer_than_a_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 3600 s of meter 'm' is not inside one slot of 300 s"):
        quantity([used("m", 1)], Rollup("5m", "max"))


@pytest.mark.parametrize(
    ("how", "expected"), [("sum", 1100), ("difference", 700), ("ratio", Decimal("4.5")), ("ratio of none", 0)]
)
def test_a_quantity_may_be_made_of_several_meters(how: str, expected: Decimal) -> None:
    totals = [used("m", 900), used("n", 200)] if how != "ratio of none" else [used("m", 900)]
    combine = Combine(how.split()[0], ("n",))  # type: ignore[arg-type]
    assert quantity(totals, combine=combine) == expected


def test_with_a_rollup_meters_are_combined_slot_by_slot() -> None:
    """In and out peak on different days: the sum of the peaks would be 17."""
    totals = [used("m", 10, day=0), used("n", 2, day=0), used("m", 3, day=1), used("n", 7, day=1)]
    assert quantity(totals, Rollup("1d", "max"), combine=Combine("sum", ("n",))) == 12
    assert quantity(totals, Rollup("1d", "max"), combine=Combine("difference", ("n",))) == 8
    assert quantity(totals, Rollup("1d", "max"), combine=Combine("ratio", ("n",))) == 5
