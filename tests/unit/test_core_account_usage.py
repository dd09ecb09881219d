"""What stage 2 is asked of an account's usage: by day, of days that pass without any, and window by window."""

from __future__ import annotations

import struct
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from config.catalogue import BEGIN_MS, Catalogue, EventType, Meter
from processors.account_usage import AccountUsage
from processors.window_rows import WindowRow, WindowRows
from rating.totals import DAY_MS, day_ms

METERS = (
    Meter("sums", 1, "t", "sum", "v"),
    Meter("users", 1, "t", "unique", "v"),
    Meter("carried", 1, "t", "sum", "v"),
    Meter("stored", 1, "t", "gauge", "v"),
    Meter("other", 1, "t", "count"),
)
CATALOGUE = Catalogue(generation=1, events=(EventType("t", 0),), meters=METERS)
CARRIED = frozenset(("carried", "stored"))
FIRST = date(2026, 11, 1)
DAY = timedelta(days=1)


def day(number: int) -> date:
    """Of November 2026, from 0."""
    return FIRST + number * DAY


class Told(AccountUsage):
    """Of one account, whose rows come with the versions 0, 1, 2 ... of their own partials."""

    def __init__(self) -> None:
        held = frozenset(("sums", "carried", "stored"))
        super().__init__(CATALOGUE, held, CARRIED, frozenset(), frozenset())
        self.offset = 0

    def tell(
        self, meter: str, number: int, value: int = 1, members: bytes = b"", account: str = "acme", subject: str = ""
    ) -> None:
        at_ms = day_ms(day(number))
        row = WindowRow(
            *(
                meter,
                1,
                subject or f"s{self.offset}",
                [],
                account,
                at_ms,
                "T",
                0,
                0,
                self.offset,
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
        rows = [row]
        if members:
            rows.append(
                WindowRow(
                    *(meter, 1, row.subject, [], account, at_ms, "T", 0, 1, self.offset, 0, 0, 0, 0, 0, 0, 0), members
                )
            )
        self.merged.add([message for _, _, message in WindowRows.of(rows).messages()])
        self.offset += 1

    def at(self, number: int, ms: int = 0) -> None:
        self.clock_ms = day_ms(day(number)) + ms


def told(*days: int, meter: str = "sums") -> Told:
    """A row a day: worth 1, 10, 100 ..., with the versions 1, 2, 3 ... (one more than their offsets)."""
    found = Told()
    for place, number in enumerate(days):
        found.tell(meter, number, 10**place)
    return found


def by_day(usage: AccountUsage, start: int, end: int, first: int, meter: str = "sums") -> tuple[Any, list[Any]]:
    before, days = usage.by_day("acme", meter, FIRST, day(start), day(end), day(first))
    return before, [((one - FIRST).days, quantity, version) for one, quantity, version in days]


def test_today_is_the_day_of_the_clock_and_before_any_record_there_is_none() -> None:
    usage = Told()
    assert (usage.clock_ms, usage.today) == (BEGIN_MS, date.min)
    for ms in (0, 1, DAY_MS - 1):
        usage.at(3, ms)
        assert usage.today == day(3)
        assert type(usage.today) is date
    usage.clock_ms = 0
    assert usage.today == date(1970, 1, 1)


def test_the_meters_of_an_account_are_those_it_ever_used() -> None:
    usage = told(1)
    usage.tell("users", 2, members=bytes(16))
    usage.tell("other", 2, account="else")
    assert usage.meters_of("acme") == {"sums", "users"}
    assert usage.meters_of("else") == {"other"}
    assert usage.meters_of("nobody") == frozenset()


def test_days_are_those_with_usage_and_of_what_is_carried_all_from_the_first_to_the_clocks() -> None:
    usage = told(-1, 2, 5, 9)
    usage.tell("other", 3)
    meters = ("sums", "other", "users")
    assert usage.days("acme", meters, day(2), day(9)) == [day(2), day(3), day(5)]
    assert usage.days("acme", meters, day(3), day(10)) == [day(3), day(5), day(9)]
    assert usage.days("acme", ("sums",), day(3), day(5)) == []
    usage.at(7)
    assert usage.days("acme", CARRIED, FIRST, day(9)) == []
    usage.tell("carried", 3)
    usage.tell("carried", 8)
    assert usage.days("acme", CARRIED, FIRST, day(6)) == [day(3), day(4), day(5)]
    assert usage.days("acme", CARRIED, FIRST, day(8)) == [day(3), day(4), day(5), day(6), day(7)]
    assert usage.days("acme", CARRIED, day(5), day(10)) == [day(5), day(6), day(7), day(8)]
    usage.at(20)
    assert usage.days("acme", CARRIED, day(5), day(8)) == [day(5), day(6), day(7)]


def test_the_version_of_a_day_is_the_sum_of_all_up_to_it_within_the_period() -> None:
    usage = told(-1, 2, 5)
    usage.tell("other", 3)
    days = [day(1), day(2), day(4), day(5)]
    meters = iter(("sums", "other", "users"))
    assert list(usage.versions("acme", meters, FIRST, days).items()) == list(zip(days, (0, 2, 6, 9), strict=True))
    assert usage.versions("acme", ("sums",), day(-1), [day(9)]) == {day(9): 6}
    assert usage.versions("acme", ("sums",), day(5), [day(9)]) == {day(9): 3}
    assert usage.versions("else", ("sums",), FIRST, [day(9)]) == {day(9): 0}


def test_the_version_of_what_is_carried_counts_all_before_and_the_days_that_pass() -> None:
    usage = told(-40, 2, meter="carried")
    number = (FIRST - date(1970, 1, 1)).days
    found = usage.versions("acme", ("carried",), FIRST, [day(1), day(2), day(3)])
    assert list(found.values()) == [1 + number + 1, 3 + number + 2, 3 + number + 3]
    usage.tell("sums", -1)
    usage.tell("sums", 1)
    both = usage.versions("acme", ("carried", "sums"), FIRST, [day(1)])
    assert both == {day(1): 1 + 4 + number + 1}, "of sums the one in the period"


@pytest.mark.parametrize("again", [1, 3])
def test_the_quantity_of_each_day_from_the_first_change_on_and_what_was_before(again: int) -> None:
    """Asked again, from where it was left or before it, it says the same."""
    usage = told(-1, 2, 3, 5, 7, 9, 11)
    for _ in range(again):
        assert by_day(usage, 0, 10, 9) == (11110, [(9, 111110, 20)])
        assert by_day(usage, 0, 30, 8) == (11110, [(9, 111110, 20), (11, 1111110, 27)])
        assert by_day(usage, 0, 9, 5) == (110, [(5, 1110, 9), (7, 11110, 14)])
        assert by_day(usage, 0, 12, 2) == (
            None, [(2, 10, 2), (3, 110, 5), (5, 1110, 9), (7, 11110, 14), (9, 111110, 20), (11, 1111110, 27)],
        )  # fmt: skip
        assert by_day(usage, 3, 6, 3) == (None, [(3, 100, 5), (5, 1100, 9)])
        assert by_day(usage, 3, 6, 1) == (None, [(3, 100, 5), (5, 1100, 9)]), "a segment begins where it begins"
        assert by_day(usage, 3, 10, 9) == (11100, [(9, 111100, 20)])
        assert by_day(usage, 20, 30, 25) == (None, [])


def test_asking_changes_nothing_of_what_is_held() -> None:
    """Sums begin with the state of a day as it is held, without a copy."""
    for meter, members in (("sums", b""), ("users", b"u" * 16)):
        usage = told(1, 2, 3, 4)
        for number in range(1, 5) if members else ():
            usage.tell(meter, number, members=bytes([number]) * 16)
        held = usage.merged.days[("acme", meter)]
        was = {at: deepcopy(state) for at, state in held.items()}
        for start, first in product(range(6), range(6)):
            answer = by_day(usage, start, 30, first, meter)
            assert by_day(usage, start, 30, first, meter) == answer
            assert held == was


def test_what_was_added_up_once_is_kept_where_that_is_worth_it() -> None:
    usage = told(1, 2, 3, 4)
    held = usage.merged.days[("acme", "sums")]
    by_day(usage, 0, 30, 3)
    assert held.prefix is None
    by_day(usage, 0, 30, 4)
    assert held.prefix is not None
    assert (held.prefix.start, held.prefix.until, held.prefix.version, held.prefix.state.sum) == (
        *(FIRST, day(4), 6), 111 * 10**12,
    )  # fmt: skip
    assert by_day(usage, 0, 30, 4) == (111, [(4, 1111, 10)])
    assert held.prefix.state.sum == 111 * 10**12, "and does not grow with what is added to it"
    assert by_day(usage, 0, 30, 3) == (11, [(3, 111, 6), (4, 1111, 10)])
    assert by_day(usage, 2, 30, 4) == (110, [(4, 1110, 10)])
    usage.tell("sums", 2, 5)
    assert by_day(usage, 0, 30, 4) == (116, [(4, 1116, 15)])
    for number in range(1, 5):
        usage.tell("users", number, members=bytes([number]) * 16)
    assert by_day(usage, 0, 30, 4, "users")[0] == 3
    assert usage.merged.days[("acme", "users")].prefix is None, "sets would be held twice"


def test_of_what_is_carried_each_day_that_passes_has_a_quantity() -> None:
    usage = told(-2, 1, 3, meter="carried")
    usage.at(4)
    number = (FIRST - date(1970, 1, 1)).days
    before, days = by_day(usage, 0, 30, 2, "carried")
    assert before == 10
    assert days == [(2, 10, 3 + number + 2), (3, 110, 6 + number + 3), (4, 110, 6 + number + 4)]
    assert by_day(usage, 0, 30, 0, "carried") == (None, [(0, 0, 1 + number), (1, 10, 3 + number + 1), *days])


def stored(usage: Told, number: int, value: int) -> None:
    sample = struct.pack("<qQQq", day_ms(day(number)) * 1000, usage.offset, 0, value)
    usage.tell("stored", number, value, sample, subject="acme")


def test_a_gauge_is_worth_its_level_on_each_day_up_to_the_clock() -> None:
    usage = Told()
    stored(usage, -3, 10)
    stored(usage, 2, 40)
    usage.at(3)
    before, days = by_day(usage, 0, 30, 2, "stored")
    assert [(one, quantity) for one, quantity, _ in days] == [(2, 1440), (3, 2400)], "in hours of the unit"
    assert before == 480
    assert by_day(usage, 0, 2, 1, "stored")[1][0][:2] == (1, 480)
    assert by_day(usage, 4, 9, 5, "stored") == (None, []), "the clock is not there yet"


def windows(usage: Told, meter: str, start: int, end: int) -> list[tuple[int, Decimal]]:
    found = usage.totals("acme", frozenset((meter,)), day(start), day(end))
    return [((one.start_ms - day_ms(FIRST)) // DAY_MS, Decimal(one.state.quantity())) for one in found]


def test_windows_are_those_of_the_days_and_of_what_is_carried_all_before_and_gauges_up_to_the_clock() -> None:
    usage = told(-1, 0, 3, 4)
    assert windows(usage, "sums", 0, 4) == [(0, 10), (3, 100)]
    assert windows(usage, "sums", 1, 5) == [(3, 100), (4, 1000)]
    assert windows(usage, "other", 0, 30) == []
    assert usage.totals("acme", frozenset(), day(0), day(30)) == []
    usage.tell("carried", -1)
    usage.tell("carried", 4)
    assert windows(usage, "carried", 0, 4) == [(-1, 1)]
    assert usage.totals("acme", frozenset(("other", "sums")), day(3), day(4))[0].meter == "sums"
    for number, value in ((-2, 7), (1, 9)):
        stored(usage, number, value)
    usage.at(2)
    assert windows(usage, "stored", 0, 30) == [(0, 168), (1, 216), (2, 216)]
    assert windows(usage, "stored", 0, 2) == [(0, 168), (1, 216)]
    usage.at(0)
    assert windows(usage, "stored", 0, 30) == [(0, 168), (1, 216)], "as far as usage goes that is ahead of the clock"
    assert {one.meter for one in usage.totals("acme", frozenset(("other", "stored")), day(0), day(30))} == {"stored"}
