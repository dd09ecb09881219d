"""The rows of usage on the day within which a contract begins or ends, and outside of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from config.catalogue import Catalogue, EventType, Meter
from processors.rate import RatedRow, Rater
from processors.rate_contracts import Line
from processors.rate_gaps import gap_days, gap_rows
from processors.rate_parts import PartDay
from processors.window_rows import WindowRow, WindowRows
from rating.contracts import Contract
from rating.plans import Plan
from rating.prices import PerUnit
from rating.states import Sum
from rating.totals import Total, day_ms

FIRST, LAST = date(2026, 11, 3), date(2026, 11, 20)
HOUR_MS = 3_600_000
NOON = Contract("acme", "pro", datetime(2026, 11, 3, 12, tzinfo=UTC), datetime(2026, 11, 20, 6, tzinfo=UTC))


def used(meter: str, day: date, hour: int, value: int) -> Total:
    at = day_ms(day) + hour * HOUR_MS
    return Total(meter, at, at + HOUR_MS, Sum(Decimal(value)))


def test_a_day_has_a_gap_where_a_contract_begins_or_ends_within_it() -> None:
    endless = Contract("acme", "pro", datetime(2026, 11, 21, tzinfo=UTC))
    assert gap_days([endless, NOON]) == [FIRST, LAST]


def test_the_row_of_a_gap_has_no_price_and_a_segment_that_begins_the_day_before() -> None:
    totals = [
        *(used("bytes", FIRST, 0, 1), used("bytes", FIRST, 11, 10), used("bytes", FIRST, 12, 100)),
        *(used("bytes", LAST, 6, 1000), used("calls", FIRST, 3, 5)),
    ]
    rows = list(gap_rows(FIRST, [NOON], totals, "why"))
    assert rows == [
        (Line("", meter, "", date(2026, 11, 2), "", 0, "", ""), PartDay(FIRST, "", n, n, None, None, "why"))
        for meter, n in (("bytes", Decimal(11)), ("calls", Decimal(5)))
    ]


def test_a_gap_ends_where_the_next_contract_begins_and_another_begins_where_it_ends() -> None:
    evening = Contract("acme", "pro", datetime(2026, 11, 20, 18, tzinfo=UTC))
    totals = [used("bytes", LAST, hour, 10**n) for n, hour in enumerate((5, 6, 17, 18, 24))]
    assert [row.quantity for _, row in gap_rows(LAST, [evening, NOON], totals, "why")] == [Decimal(110)]
    assert [row.quantity for _, row in gap_rows(LAST, [NOON], totals, "why")] == [Decimal(1110)], "not of the next day"


def rater(*contracts: Contract, default: str | None = None) -> Rater:
    plan = Plan("pro", 4, "USD", price=(PerUnit("p", "bytes", "2"),))
    events, meters = (EventType("t", 0),), (Meter("bytes", 1, "t", "sum", "v", window="1h"),)
    catalogue = Catalogue(7, default, events=events, meters=meters, plans=(plan,), contracts=contracts)
    return Rater(catalogue, lambda account: True)


def tell(to: Rater, *used: tuple[date, int, int]) -> list[RatedRow]:
    """Of (day, hour, value), each the state of its window at the offset of its place; the rows for usage unpriced."""
    rows = [
        WindowRow(
            *(
                "bytes",
                1,
                "s",
                [],
                "acme",
                day_ms(day) + hour * HOUR_MS,
                "T",
                0,
                0,
                offset,
                1,
                0,
                value,
                0,
                0,
                0,
                0,
                b"",
            )
        )
        for offset, (day, hour, value) in enumerate(used)
    ]
    to.add([value for _, _, value in WindowRows.of(rows).messages()], day_ms(LAST))
    return [row for row in to.rate() if not row.price]


def test_the_rated_row_of_a_gap_says_whose_it_is_and_grows_with_all_usage_of_the_month_up_to_it() -> None:
    (row,) = tell(rater(NOON), (LAST, 6, 1000), (LAST, 1, 100), (FIRST, 12, 10))
    assert row == RatedRow(
        *("acme", "", 0, "", "", "bytes", "", LAST, date(2026, 11, 19), LAST, False, ""),
        *(Decimal(1000), Decimal(1000), None, None, "no contract at that time of the day", 7, 6),
    )


def test_a_default_plan_prices_a_gap_on_the_invoice() -> None:
    (row,) = tell(rater(NOON, default="pro"), (FIRST, 1, 5))
    assert row.unrated_reason == "no contract at that time of the day; an invoice prices it by the default plan"


def test_a_gap_on_the_day_after_what_changed_is_left_alone() -> None:
    until = Contract("acme", "pro", datetime(2026, 11, 1, 6, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
    after = Contract("acme", "pro", datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert [row.day for row in tell(rater(until, after), (date(2026, 11, 19), 3, 1), (LAST, 3, 1))] == [LAST]
