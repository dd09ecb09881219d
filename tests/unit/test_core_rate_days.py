"""The days of one price, and of a contract's period, row by row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from processors.rate_contracts import Line, contract_days, days_held, join, periods_of
from processors.rate_parts import PartDay, part_days
from rating.calendar import Anchor, BillingPeriod
from rating.contracts import Change, Contract
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Flat, PerUnit, Price, read_price
from rating.rate import Segment, Tariff
from rating.states import Sum
from rating.totals import DAY_MS, Total, day_ms
from reconcile.contract_rates import contract_rows

ZERO = Decimal(0)
NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))
FIRST, SECOND, THIRD = (date(2026, 11, day) for day in (3, 5, 6))
LEAST = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "2", "minimum_amount": "3"}
MATRIX: dict[str, Any] = {
    "id": "p", "model": "matrix", "meter": "m", "dimensions": ["zone"],
    "cell": [
        {"when": {"zone": ["x"]}, "price": {"model": "per_unit", "unit_amount": "2"}},
        {"when": {"zone": ["y"]}, "price": {"model": "per_unit", "unit_amount": "5"}},
    ],
}  # fmt: skip


def used(day: date, value: int, zone: str = "x", hour: int = 0, meter: str = "m") -> Total:
    at = day_ms(day) + hour * 3_600_000
    return Total(meter, at, at + 3_600_000, Sum(Decimal(value)), "s", {"zone": zone}, "acme")


def days_of(price: dict[str, Any], *totals: Total, first: date = FIRST, of: Period = NOVEMBER) -> list[PartDay]:
    days = sorted({date.fromordinal(date(1970, 1, 1).toordinal() + one.start_ms // DAY_MS) for one in totals})
    return list(part_days(read_price(price), totals, of, NOVEMBER, days, first))


def numbers(day: PartDay) -> tuple[Any, ...]:
    return day.quantity, day.quantity_total, day.amount, day.amount_total


def test_a_price_opens_with_what_it_owes_without_usage_and_each_day_adds_to_it() -> None:
    opening = PartDay(None, "", ZERO, ZERO, Decimal(3), Decimal(3), "")
    days = [
        PartDay(FIRST, "", Decimal(1), Decimal(1), ZERO, Decimal(3), ""),
        PartDay(SECOND, "", Decimal(4), Decimal(5), Decimal(7), Decimal(10), ""),
    ]
    assert days_of(LEAST, used(FIRST, 1), used(SECOND, 4)) == [opening, *days]
    assert days_of(LEAST, used(FIRST, 1), used(SECOND, 4), first=SECOND) == [opening, days[1]]


def test_a_mean_of_a_half_of_the_month_is_divided_by_the_whole() -> None:
    """Of the days before the first that changed as well."""
    mean = {"id": "p", "model": "per_unit", "meter": "m", "unit_amount": "2", "rollup": {"every": "1d", "over": "mean"}}
    half = Period(NOVEMBER.start, date(2026, 11, 16))
    days = days_of(mean, used(FIRST, 30), used(SECOND, 60), first=SECOND, of=half)
    assert [numbers(day) for day in days[1:]] == [(2, 3, 4, 6)]


def test_the_cells_of_a_matrix_are_one_part_and_what_none_takes_is_another() -> None:
    days = days_of(MATRIX, used(FIRST, 1), used(FIRST, 10, "y"), used(SECOND, 3, "z"), used(SECOND, 7, "y"))
    assert [(day.day, day.part, *numbers(day), day.reason) for day in days] == [
        (FIRST, "", 11, 11, 52, 52, ""),
        (SECOND, "", 7, 18, 35, 87, ""),
        (SECOND, '{"zone":"z"}', 3, 3, None, None, "no matrix row for zone 'z'"),
    ]


# -- of a contract


def agreed(*prices: Price, **about: Any) -> tuple[Contract, Tariff]:
    """A contract with plan `a`, and these changes to `b` and `c`, which have the price `p` alone."""
    made = Contract("acme", "a", datetime(2026, 11, 1, tzinfo=UTC), **about)
    plans = (Plan("a", 4, "USD", price=prices), *(Plan(id, 1, "USD", price=prices[:1]) for id in "bc"))
    return made, Tariff(None, plans, (made,))


def rows_of(made: tuple[Contract, Tariff], *totals: Total) -> list[tuple[Line, PartDay]]:
    days = sorted({date.fromordinal(date(1970, 1, 1).toordinal() + one.start_ms // DAY_MS) for one in totals})
    period = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    return list(contract_days(*made, period, totals, days, NOVEMBER.start))


def test_a_contract_has_a_row_of_every_line_on_every_day_of_usage() -> None:
    made = agreed(PerUnit("p", "m", "2", minimum_amount="3"), Flat("base", "5"))
    start = NOVEMBER.start
    usage, base = (
        Line("p", "m", "", start, "a", 4, "per_unit", "USD"),
        Line("base", "", "", start, "a", 4, "flat", "USD"),
    )
    none = Line("", "n", "", start, "", 0, "", "")
    reason = "plan 'a' version 4 has no price for this meter"
    assert rows_of(made, used(FIRST, 1), used(SECOND, 4), used(SECOND, 6, meter="n"), used(THIRD, 1)) == [
        (usage, PartDay(None, "", ZERO, ZERO, Decimal(3), Decimal(3), "")),
        (base, PartDay(None, "", ZERO, ZERO, Decimal(5), Decimal(5), "")),
        (base, PartDay(FIRST, "", ZERO, ZERO, ZERO, Decimal(5), "")),
        (usage, PartDay(FIRST, "", Decimal(1), Decimal(1), ZERO, Decimal(3), "")),
        (none, PartDay(SECOND, "", Decimal(6), Decimal(6), None, None, reason)),
        (base, PartDay(SECOND, "", ZERO, ZERO, ZERO, Decimal(5), "")),
        (usage, PartDay(SECOND, "", Decimal(4), Decimal(5), Decimal(7), Decimal(10), "")),
        (none, PartDay(THIRD, "", ZERO, Decimal(6), None, None, reason)),
        (base, PartDay(THIRD, "", ZERO, ZERO, ZERO, Decimal(5), "")),
        (usage, PartDay(THIRD, "", Decimal(1), Decimal(6), Decimal(2), Decimal(12), "")),
    ]


def changed_twice_on_the_third() -> tuple[Change, Change]:
    return tuple(Change(datetime(2026, 11, 3, hour, tzinfo=UTC), plan) for hour, plan in ((6, "b"), (12, "c")))  # type: ignore[return-value]


def test_two_pieces_of_a_price_that_begin_on_one_day_are_one_row() -> None:
    made = agreed(PerUnit("p", "m", "2"), change=changed_twice_on_the_third())
    found = rows_of(made, used(FIRST, 1), used(FIRST, 10, hour=7), used(FIRST, 100, hour=13), used(SECOND, 1000))
    on_the_third = [(row.day, *numbers(row)) for line, row in found if line.start == FIRST and row.day]
    assert on_the_third == [(FIRST, 110, 110, 220, 220), (SECOND, 1000, 1110, 2000, 2220)]


def test_the_cells_of_a_contract_s_matrix_are_one_row() -> None:
    found = rows_of(agreed(read_price(MATRIX)), used(FIRST, 1), used(FIRST, 10, "y"))
    assert [(row.day, row.part, *numbers(row)) for _, row in found] == [(FIRST, "", 11, 11, 52, 52)]


def test_what_has_no_price_in_two_pieces_that_begin_on_one_day_is_counted_in_both() -> None:
    made = agreed(PerUnit("p", "m", "2"), change=changed_twice_on_the_third())
    totals = [used(FIRST, 10**n, hour=hour, meter="n") for n, hour in enumerate((1, 7, 13))]
    found = {line.start: row for line, row in rows_of(made, *totals) if line.meter == "n"}
    assert {start: numbers(row) for start, row in found.items()} == {
        NOVEMBER.start: (1, 1, None, None),
        FIRST: (110, 110, None, None),
    }
    period = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    recounted = contract_rows(made[1], made[0], period, totals, [FIRST])
    assert [row["quantity"] for key, row in recounted if (key.meter, key.segment_start) == ("n", FIRST)] == [110]
    assert found[FIRST].reason == "; ".join(f"plan '{plan}' version 1 has no price for this meter" for plan in "bc")


def test_what_two_prices_refuse_is_counted_once() -> None:
    matrices = read_price(MATRIX), read_price({**MATRIX, "id": "q", "cell": MATRIX["cell"][:1]})
    found = [
        row for line, row in rows_of(agreed(*matrices), used(FIRST, 3, "a"), used(FIRST, 5, "y")) if not line.price
    ]
    assert [(row.part, row.quantity, row.reason) for row in found] == [
        ('{"zone":"a"}', Decimal(3), "no matrix row for zone 'a'"),
        ('{"zone":"y"}', Decimal(5), "no matrix row for zone 'y'"),
    ]


def test_the_periods_of_a_contract_end_with_it() -> None:
    for last, starts in ((16, [26, 2, 9]), (17, [26, 2, 9, 16])):
        made, _ = agreed(Flat("base", "5"), anchor=Anchor(every="week"), to=datetime(2026, 11, last, tzinfo=UTC))
        assert [period.start.day for period in periods_of(made, NOVEMBER.start, NOVEMBER.end)] == starts


def test_a_contract_holds_on_the_day_of_its_last_moment_and_not_on_the_next() -> None:
    period = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    for end, day in ((datetime(2026, 11, 10, tzinfo=UTC), 10), (datetime(2026, 11, 10, 0, 0, 0, 1, tzinfo=UTC), 11)):
        made, _ = agreed(Flat("base", "5"), to=end)
        assert days_held(made, period) == (NOVEMBER.start, date(2026, 11, day))


def test_segments_of_a_contract_are_due_from_the_first_change_on() -> None:
    made, _ = agreed(Flat("base", "5"))
    one, two = (Segment(None, *days, "", made) for days in ((NOVEMBER.start, SECOND), (SECOND, date(2026, 11, 20))))
    due: dict[Any, Any] = {}
    join(due, one, False, {"m": FIRST, "n": THIRD})
    ((place, found),) = due.items()
    assert place == ("acme", made.from_)
    assert (found.start, found.end, found.first) == (FIRST, SECOND, FIRST)
    join(due, two, True, {})
    (found,) = due.values()
    assert (found.contract, found.start, found.end, found.first) == (made, FIRST, date(2026, 11, 20), FIRST)
