"""Whose rows they are and where they stand: prices that look closer, contracts with weeks of their own, gauges."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from config.catalogue import Catalogue, EventType, Meter
from processors.rate import RatedRow, Rater
from processors.window_rows import WindowRow, WindowRows
from rating.calendar import Anchor
from rating.contracts import Contract
from rating.plans import Plan
from rating.prices import Flat, PerUnit, Price, read_price
from rating.totals import DAY_MS, day_ms

NOVEMBER, DECEMBER = date(2026, 11, 1), date(2026, 12, 1)
METERS = (Meter("sums", 1, "t", "sum", "v", ("zone",)), Meter("stored", 1, "t", "gauge", "v"))


def rater(*prices: Price, contracts: tuple[Contract, ...] = ()) -> Rater:
    catalogue = Catalogue(
        generation=7,
        default_plan="pro",
        events=(EventType("t", 0),),
        meters=METERS,
        plans=(Plan("pro", 4, "USD", price=prices),),
        contracts=contracts,
    )
    return Rater(catalogue, lambda account: account == "acme")


def tell(to: Rater, day: date, offset: int, value: int, account: str = "acme", zone: str = "a") -> None:
    row = WindowRow(
        *("sums", 1, f"s{offset}", [zone], account, day_ms(day), "T", 0, 0, offset, 1, 0, value, 0, 0, 0, 0, b"")
    )
    to.add([message for _, _, message in WindowRows.of([row]).messages()], day_ms(day))


def place(row: RatedRow) -> tuple[Any, ...]:
    """(account, first days of its period and piece, day or None for an opening, part, amount, version)."""
    day = None if row.opening else row.day
    return row.account, row.period_start, row.segment_start, day, row.part, row.amount, row.version


def places(found: list[RatedRow]) -> list[tuple[Any, ...]]:
    """Of the price `p`, in one order."""
    return sorted((place(row) for row in found if row.price == "p"), key=repr)


def weekly(account: str) -> Contract:
    return Contract(account, "pro", datetime(2026, 11, 4, tzinfo=UTC), anchor=Anchor(every="week"))


def test_a_price_for_each_value_has_rows_of_the_account_and_the_segment() -> None:
    agreed = Contract("acme", "pro", datetime(2026, 11, 10, tzinfo=UTC))
    one = rater(
        read_price({"id": "p", "model": "per_unit", "meter": "sums", "unit_amount": "2", "per": ["zone"]}),
        contracts=(agreed,),
    )
    tell(one, date(2026, 11, 12), 0, 5)
    tell(one, date(2026, 11, 14), 1, 1, zone="b")
    start = date(2026, 11, 10)
    assert places(one.rate()) == [
        ("acme", NOVEMBER, start, date(2026, 11, 12), '{"zone":"a"}', 10, 1),
        ("acme", NOVEMBER, start, date(2026, 11, 14), '{"zone":"a"}', 0, 3),
        ("acme", NOVEMBER, start, date(2026, 11, 14), '{"zone":"b"}', 2, 3),
    ]


def test_a_mean_of_a_segment_is_divided_by_the_days_of_the_month() -> None:
    agreed = Contract("acme", "pro", datetime(2026, 11, 16, tzinfo=UTC))
    mean = {
        "id": "p",
        "model": "per_unit",
        "meter": "sums",
        "unit_amount": "1",
        "rollup": {"every": "1d", "over": "mean"},
    }
    one = rater(read_price(mean), contracts=(agreed,))
    tell(one, date(2026, 11, 20), 0, 60)
    assert [amount for *_, day, _, amount, _ in places(one.rate()) if day] == [2]


def test_what_is_carried_is_rated_day_by_day_and_once() -> None:
    carry = {"every": "1d", "over": "sum", "missing": "carry"}
    one = rater(read_price({"id": "p", "model": "per_unit", "meter": "sums", "unit_amount": "1", "rollup": carry}))
    tell(one, date(2026, 11, 29), 0, 3)
    assert [(day, amount) for *_, day, _, amount, _ in places(one.rate()) if day] == [(date(2026, 11, 29), 3)]
    assert one.rate() == []
    one.add([], day_ms(DECEMBER))
    found = [(month, day, amount) for _, month, _, day, _, amount, _ in places(one.rate()) if day]
    assert found == [(NOVEMBER, date(2026, 11, 30), 3), (DECEMBER, DECEMBER, 3)], "on the first of a month as well"
    assert one.rate() == []


def test_a_gauge_with_a_price_for_its_total_owes_for_the_day_of_its_clock() -> None:
    one = rater(PerUnit("p", "stored", "1"))
    at_ms = day_ms(NOVEMBER)
    sample = struct.pack("<qQQq", at_ms * 1000, 1, 0, 5)
    row = WindowRow(*("stored", 1, "acme", [], "acme", at_ms, "T", 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), sample)
    one.add([message for _, _, message in WindowRows.of([row]).messages()], at_ms + DAY_MS)
    days = [(day, amount) for *_, day, _, amount, _ in places(one.rate()) if day]
    assert days == [(NOVEMBER, 120), (date(2026, 11, 2), 120)]


def test_contracts_with_weeks_of_their_own_have_rows_each_of_its_own_periods() -> None:
    one = rater(
        PerUnit("p", "sums", "1", minimum_amount="2"), Flat("base", "9"), contracts=(weekly("acme"), weekly("other"))
    )
    tell(one, date(2026, 11, 5), 0, 5)
    tell(one, date(2026, 11, 10), 1, 7, "other")
    tell(one, date(2026, 11, 12), 2, 1)
    first, second, begin = date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 4)
    found = places(one.rate())
    assert [one for one in found if one[3] is not None] == [
        ("acme", first, begin, date(2026, 11, 5), "", 3, 1),
        ("acme", second, second, date(2026, 11, 12), "", 0, 3),
        ("other", second, second, date(2026, 11, 10), "", 5, 2),
    ]
    assert {one for one in found if one[3] is None} == {
        (account, *opened, None, "", 2, 0) for account in ("acme", "other") for opened in OPENED
    }
    tell(one, date(2026, 11, 12), 9, 4)
    assert places(one.rate()) == [("acme", second, second, date(2026, 11, 12), "", 3, 13)]


# The first days of November are on the default plan; a week that begins in it goes on in December.
OPENED = [(NOVEMBER, NOVEMBER), (date(2026, 11, 2), date(2026, 11, 4))]
OPENED += [(monday, monday) for monday in (date(2026, 11, number) for number in (9, 16, 23, 30))]


def test_a_contract_with_weeks_opens_without_any_usage() -> None:
    one = rater(Flat("p", "9"), contracts=(weekly("acme"), weekly("other")))
    one.add([], day_ms(date(2026, 11, 20)))
    assert set(places(one.rate())) == {("acme", *opened, None, "", Decimal(9), 0) for opened in OPENED}


def test_what_comes_after_a_contract_with_weeks_in_its_month_is_rated_as_well() -> None:
    ends = datetime(2026, 11, 20, tzinfo=UTC)
    agreed = Contract("acme", "pro", datetime(2026, 11, 4, tzinfo=UTC), ends, anchor=Anchor(every="week"))
    one = rater(PerUnit("p", "sums", "1"), contracts=(agreed,))
    tell(one, date(2026, 11, 5), 0, 5)
    tell(one, date(2026, 11, 25), 1, 7)
    days = [one for one in places(one.rate()) if one[3] is not None]
    assert days == [
        ("acme", NOVEMBER, date(2026, 11, 20), date(2026, 11, 25), "", 7, 3),
        ("acme", date(2026, 11, 2), date(2026, 11, 4), date(2026, 11, 5), "", 5, 1),
    ]


def test_a_month_that_opens_within_a_week_repeats_none_of_its_days() -> None:
    one = rater(PerUnit("p", "sums", "1"), contracts=(weekly("acme"),))
    monday = date(2026, 11, 30)
    tell(one, monday, 0, 5)
    assert ("acme", monday, monday, monday, "", 5, 1) in places(one.rate())
    one.add([], day_ms(DECEMBER))
    opened = places(one.rate())
    assert {found[3] for found in opened} == {None}
    assert (monday, monday) not in {found[1:3] for found in opened}, "that week is open already"
