"""What stage 2 holds of rows: the newest version of each, whatever it comes with, and which days changed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalogue import Catalogue, EventType, Meter
from processors.merge import Merged, MeterDays, Prefix, UnknownMeterError, _identity
from processors.series import SeriesStates
from processors.states import DIGITS, UsageState
from processors.window_rows import NUMBERS, WindowRow, WindowRows
from rating.periods import Period
from rating.states import Sum
from rating.totals import DAY_MS

METERS = (
    Meter("s", 1, "a", "sum", "v", dimensions=("d",), precision=2, allow_negative=True),
    Meter("s", 2, "a", "sum", "v", dimensions=("d",), precision=3, allow_negative=True),
    Meter("top", 1, "a", "max", "v", precision=1),
)
CATALOGUE = Catalogue(events=(EventType("a", 1),), meters=METERS)
BY_KEY = {(meter.id, meter.version): meter for meter in METERS}
ROW = WindowRow("s", 1, "z", ["x"], "acme", 40 * DAY_MS, "T", 0, 0, 7, 2, 0, 500, 0, 0, 0, 0, b"")
DAY = date(1970, 2, 10)  # of ROW


def row(**changes: Any) -> WindowRow:
    return msgspec.structs.replace(ROW, **changes)


def encoded(rows: Iterable[WindowRow]) -> list[bytes]:
    return [value for one in rows for _, _, value in WindowRows.of([one]).messages()]


def merged(*rows: WindowRow) -> Merged:
    found = Merged(BY_KEY)
    found.add(encoded(rows))
    return found


def state(held: Merged, meter: str = "s", day: date = DAY, account: str = "acme") -> UsageState:
    return held.days[(account, meter)][day]


@pytest.mark.parametrize(
    "other",
    [
        *({"meter_version": 2}, {"subject": "y"}, {"dimensions": ["y"]}, {"topic": "U"}, {"partition": 1}),
        *({"chunk": 1}, {"window_start_ms": 40 * DAY_MS + 3_600_000}, {"admission": 1}),
    ],
)
def test_rows_that_differ_in_any_part_of_their_key_add_up(other: dict[str, Any]) -> None:
    for rows in ([ROW, row(**other)], [row(**other), ROW]):
        held = merged(*rows)
        assert len(held) == 2
        assert (state(held).events, state(held).versions) == (4, 16)


def test_a_row_of_another_account_is_of_the_same_key() -> None:
    """Whose it is follows from the key: a newer version of it takes the place of the old one."""
    held = merged(ROW, row(account="other", offset=8, events=3))
    assert len(held) == 1


def test_the_higher_offset_holds_and_the_same_one_again_changes_nothing() -> None:
    newer = row(offset=8, events=3, sum_lo=700)
    for rows in ([ROW, newer], [newer, ROW], [ROW, newer, ROW, newer]):
        for apart in (False, True):
            held = Merged(BY_KEY)
            for some in [[one] for one in rows] if apart else [rows]:
                held.add(encoded(some))
            assert state(held) == UsageState(versions=9, events=3, sum=700 * 10**10)
    for rows in ([row(offset=8, events=1), ROW], [ROW, row(offset=8, events=1)]):
        assert state(merged(*rows)) == UsageState(versions=9, events=1, sum=500 * 10**10), "the offset alone decides"
    held = merged(ROW)
    held.take_changed()
    held.add(encoded([ROW, row(offset=6, events=1)]))
    assert held.take_changed() == {}, "nothing is newer"
    assert merged(row(offset=0)).days[("acme", "s")][DAY].versions == 1, "the first message of a log is newer than none"


SUM = st.integers(-(2**94), 2**94) | st.sampled_from([2**32, -1, 2**63 << 30, -(2**63 << 30)])


@given(st.lists(st.tuples(st.integers(0, 9), SUM), min_size=1, max_size=30), st.integers(1, 30))
def test_sums_are_exact_however_large_and_however_they_arrive(sums: list[tuple[int, int]], size: int) -> None:
    rows = [
        row(subject=str(of), offset=at, events=at, sum_hi=number >> 32, sum_lo=number & 0xFFFFFFFF)
        for at, (of, number) in enumerate(sums)
    ]
    held = Merged(BY_KEY)
    for at in range(0, len(rows), size):
        held.add(encoded(rows[at : at + size]))
    last = dict(sums)
    offsets = {of: at for at, (of, _) in enumerate(sums)}
    assert state(held).sum == sum(last.values()) * 10 ** (DIGITS - 2)
    assert (state(held).events, state(held).versions) == (
        sum(offsets.values()),
        sum(offsets.values()) + len(offsets),
    )


def test_many_rows_outlive_the_growth_of_what_is_known() -> None:
    rows = [row(subject=str(number), events=number) for number in range(400)]
    held = Merged(BY_KEY)
    for at in range(0, 400, 7):
        held.add(encoded(rows[at : at + 7]))
    held.add(encoded(row(subject=str(number), events=number + 1, offset=8) for number in range(400)))
    assert state(held).events == sum(range(1, 401))
    assert state(held).versions == 400 * 9


def test_i7_an_account_and_meter_has_one_place_whatever_series_and_partitions_it_comes_by() -> None:
    held = merged(*(row(subject=str(n % 5), partition=n % 3, account=f"a{n % 2}") for n in range(30)))
    assert [(days.account, days.meter) for days in held._places] == [("a0", "s"), ("a1", "s")]


def test_versions_of_a_meter_with_other_precisions_add_up() -> None:
    assert state(merged(ROW, row(meter_version=2, sum_lo=5_000))).sum == 2 * 500 * 10**10


def test_rows_fall_on_the_day_of_their_account_and_meter() -> None:
    rows = [
        *(ROW, row(account="other", subject="o"), row(window_start_ms=41 * DAY_MS - 1, events=5)),
        *(row(window_start_ms=41 * DAY_MS), row(meter="top", dimensions=[], value=9), row(partition=3, events=1)),
    ]
    random.Random(1).shuffle(rows)
    held = merged(*rows)
    events = {(*place, day): one.events for place, days in held.days.items() for day, one in days.items()}
    assert events == {
        ("acme", "s", DAY): 8,
        ("acme", "s", date(1970, 2, 11)): 2,
        ("other", "s", DAY): 2,
        ("acme", "top", DAY): 2,
    }
    assert state(held, "top").highest == 9 * 10**11
    assert state(held).highest is None
    assert {place: (days.account, days.meter) for place, days in held.days.items()} == {
        place: place for place in held.days
    }


def test_what_changed_is_told_once_by_account_month_and_meter_with_its_first_day() -> None:
    held = merged(
        *(row(window_start_ms=day * DAY_MS) for day in (42, 40, 41, 70)),
        *(row(window_start_ms=day * DAY_MS, account="other", subject="o") for day in (41, 43)),
        row(meter="top", dimensions=[]),
    )
    february = Period(date(1970, 2, 1), date(1970, 3, 1))
    assert held.take_changed() == {
        ("acme", february): {"s": DAY, "top": DAY},
        ("acme", Period(date(1970, 3, 1), date(1970, 4, 1))): {"s": date(1970, 3, 12)},
        ("other", february): {"s": date(1970, 2, 11)},
    }
    assert held.take_changed() == {}
    held.add(encoded([row(window_start_ms=42 * DAY_MS, offset=8)]))
    held.add(encoded([row(window_start_ms=41 * DAY_MS, offset=8)]))
    assert held.take_changed() == {("acme", february): {"s": date(1970, 2, 11)}}


def test_days_that_were_merged_are_merged_anew_when_one_of_them_changes() -> None:
    days = MeterDays("acme", "s")
    for number in (5, 3, 9):
        days.at(date(2026, 11, number))
    assert days.order == sorted(days)
    assert days.between(date(2026, 11, 3), date(2026, 11, 9)) == [date(2026, 11, 3), date(2026, 11, 5)]
    assert days.between(date(2026, 11, 4), date(2026, 11, 5)) == []
    prefix = days.prefix = Prefix(date(2026, 11, 3), date(2026, 11, 9), 0, UsageState())
    days.at(date(2026, 11, 9))
    assert days.prefix is prefix, "the first day behind it is not in it"
    days.at(date(2026, 11, 8))
    assert days.prefix is None
    assert days.changed == [date(2026, 11, number) for number in (5, 3, 9, 8)]


def test_a_row_of_an_unknown_meter_version_names_it() -> None:
    with pytest.raises(UnknownMeterError, match="meter s version 3"):
        merged(row(meter_version=3))
    with pytest.raises(UnknownMeterError, match="meter t version 1"):
        merged(row(meter="t"))


def test_nothing_is_added_of_no_rows() -> None:
    held = merged()
    assert (len(held), held.days, held.take_changed()) == (0, {}, {})


def test_rows_whose_series_are_asked_for_one_by_one_are_told_to_them() -> None:
    """By meter, by account, and none of the others; of what is known already only the difference."""
    cases = ((("s",), (), True), ((), ("acme",), True), ((), ("other",), True), (("top",), (), False))
    for meters, accounts, held_of_it in cases:
        series = SeriesStates(CATALOGUE, frozenset(meters), frozenset(accounts), frozenset())
        held = Merged(BY_KEY, series)
        rows = [row(account="other") if accounts == ("other",) else ROW]
        held.add(encoded(rows))
        held.add(encoded(msgspec.structs.replace(one, offset=9, events=5, sum_lo=900) for one in rows))
        account = rows[0].account
        totals = series.totals(account, frozenset({"s"}), DAY, DAY)
        assert [(one.meter, one.account) for one in totals] == ([("s", account)] if held_of_it else [])
        if totals:
            assert totals[0].state == Sum(Decimal(9)), "its newest version, not the sum of both"
        assert state(held, account=account).sum == 900 * 10**10


def test_rows_that_differ_have_digests_that_differ() -> None:
    """By either half of their series' digests, too, though one be zero, or that which is mixed to zero."""
    highs, lows = (0, 2**63 + 5), (2**62 + 9, 2**64 - 0x9E3779B97F4A7C15)
    seen, keys = set(), list(product(highs, lows, range(4), range(4), range(4)))
    for high, low, chunk, window, admission in keys:
        numbers = np.zeros(1, NUMBERS)
        numbers["chunk"], numbers["window_start_ms"], numbers["admission"] = chunk, window, admission
        seen.add(tuple(_identity(np.array([[high, low]], np.uint64), numbers)[0].tolist()))
    assert len(seen) == len(keys)
