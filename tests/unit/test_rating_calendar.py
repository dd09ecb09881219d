"""Billing periods in time zones, and shares of them."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating import calendar as calendars_of_rating
from rating.calendar import Anchor, BillingPeriod, Calendar, midnight, zone
from rating.proration import prorated, share, share_until

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
         "Pacific/Apia", "Africa/Cairo", "Asia/Beirut", "America/Havana", "Pacific/Kiritimati"]  # fmt: skip
anchors = st.one_of(
    st.builds(Anchor, st.just("month"), st.integers(1, 31)),
    st.builds(Anchor, st.just("week"), st.integers(1, 7)),
    st.builds(Anchor, st.just("quarter"), st.integers(1, 31), st.integers(1, 3)),
    st.builds(Anchor, st.just("year"), st.integers(1, 28), st.integers(1, 12)),
)
calendars = st.builds(Calendar, anchors, st.sampled_from(ZONES))
instants = st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))


def begins(calendar: Calendar, at: str, count: int) -> list[str]:
    period = calendar.period_of(datetime.fromisoformat(at))
    found = []
    for _ in range(count):
        found.append(period.start.astimezone(zone(calendar.time_zone)).strftime("%Y-%m-%dT%H:%M%z"))
        period = calendar.next(period)
    return found


def test_a_period_from_the_31st_begins_on_the_last_day_of_shorter_months_and_on_the_31st_again() -> None:
    assert begins(Calendar(Anchor(day=31), "Europe/Berlin"), "2027-12-31T12:00:00Z", 5) == [
        "2027-12-31T00:00+0100",
        "2028-01-31T00:00+0100",
        "2028-02-29T00:00+0100",
        "2028-03-31T00:00+0200",
        "2028-04-30T00:00+0200",
    ]


def test_weeks_quarters_and_years_begin_where_their_anchor_says() -> None:
    new_year = "2026-01-01T12:00:00Z"
    assert begins(Calendar(Anchor("week", 1)), new_year, 2) == ["2025-12-29T00:00+0000", "2026-01-05T00:00+0000"]
    assert begins(Calendar(Anchor("quarter", 15, 2)), new_year, 2) == ["2025-11-15T00:00+0000", "2026-02-15T00:00+0000"]
    assert begins(Calendar(Anchor("year", 29, 2)), new_year, 4)[1:] == [
        "2026-02-28T00:00+0000",
        "2027-02-28T00:00+0000",
        "2028-02-29T00:00+0000",
    ]


@pytest.mark.parametrize(
    ("day", "time_zone", "first"),
    [
        (date(2026, 3, 29), "Europe/Berlin", "2026-03-28T23:00:00+00:00"),
        (date(2026, 4, 24), "Africa/Cairo", "2026-04-23T22:00:00+00:00"),  # clocks go from 00:00 to 01:00
        (date(2018, 11, 4), "America/Sao_Paulo", "2018-11-04T03:00:00+00:00"),  # the same
        (date(2026, 11, 1), "America/Havana", "2026-11-01T04:00:00+00:00"),  # clocks go from 01:00 back to 00:00
        (date(2011, 12, 30), "Pacific/Apia", "2011-12-30T10:00:00+00:00"),  # there was no such day
        (date(1919, 3, 31), "America/Toronto", "1919-03-31T04:30:00+00:00"),  # from 23:30 to 00:30
    ],
)
def test_a_day_begins_at_its_first_instant_also_where_clocks_skip_or_repeat_midnight(
    day: date, time_zone: str, first: str
) -> None:
    assert midnight(day, time_zone).isoformat() == first


@settings(deadline=None)
@given(calendars, instants)
def test_every_instant_lies_in_one_period_and_periods_follow_without_gap(calendar: Calendar, instant: datetime) -> None:
    period = calendar.period_of(instant)
    after = calendar.next(period)
    assert period.start <= instant < period.end == after.start < after.end
    for inside in (period.start, period.end - timedelta(microseconds=1)):
        assert calendar.period_of(inside) == period
    before = calendar.period_of(period.start - timedelta(microseconds=1))
    assert before.end == period.start


@settings(deadline=None)
@given(calendars, instants)
def test_a_period_begins_at_the_first_instant_of_the_anchors_day(calendar: Calendar, instant: datetime) -> None:
    start = calendar.period_of(instant).start
    here = zone(calendar.time_zone)  # of the pinned rules: those of a machine may be older
    now, before = (at.astimezone(here) for at in (start, start - timedelta(seconds=1)))
    assert now.date() > before.date()
    if calendar.anchor.every == "week" and now.date() - before.date() == timedelta(days=1):
        assert now.isoweekday() == calendar.anchor.day
    elif now.date() - before.date() == timedelta(days=1):
        assert now.day == calendar.anchor.day or (now.day < calendar.anchor.day and (now + timedelta(days=1)).day == 1)


@settings(deadline=None)
@given(calendars, instants, st.lists(st.fractions(0, 1), max_size=5), st.sampled_from(["second", "day"]))
def test_the_parts_of_a_period_are_shares_that_add_up_to_one_and_amounts_that_add_up_to_the_whole(
    calendar: Calendar, instant: datetime, cuts: list[Fraction], by: str
) -> None:
    period = calendar.period_of(instant)
    seconds = int((period.end - period.start).total_seconds())
    inner = {period.start + timedelta(seconds=int(cut * seconds)) for cut in cuts}
    bounds = sorted({period.start, period.end} | inner)
    shares = [share(calendar, period, *pair, by) for pair in pairwise(bounds)]  # type: ignore[arg-type]
    assert sum(shares) == 1
    assert all(part >= 0 for part in shares)
    amount = Decimal("99.999999999999")
    parts = [prorated(amount, calendar, period, *pair, by) for pair in pairwise(bounds)]  # type: ignore[arg-type]
    assert sum(parts) == amount


def test_seconds_follow_the_clock_change_and_days_do_not() -> None:
    calendar = Calendar(Anchor(), "Europe/Berlin")
    march = calendar.period_of(datetime(2026, 3, 10, tzinfo=UTC))
    middle = midnight(date(2026, 3, 30), "Europe/Berlin")  # the day after the one of 23 hours
    assert share_until(calendar, march, middle, "second") == Fraction(29 * 24 - 1, 31 * 24 - 1)
    assert share_until(calendar, march, middle, "day") == Fraction(29, 31)
    with pytest.raises(ValueError, match="outside the period"):
        share_until(calendar, march, march.end + timedelta(seconds=1), "day")


@pytest.mark.parametrize(
    ("anchor", "message"),
    [
        ({"every": "week", "day": 8}, "day: must be 1 \\(Monday\\) to 7"),
        ({"every": "month", "month": 2}, "month: is not for a month"),
        ({"every": "quarter", "month": 4}, "month: must be 1 to 3 for a quarter"),
        ({"every": "year", "month": 2, "day": 30}, "day: must be a day that month 2 has"),
        ({"day": 32}, "<= 31"),
        ({"every": "fortnight"}, "fortnight"),
    ],
)
def test_an_anchor_that_there_is_not_is_refused(anchor: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(anchor, type=Anchor)


def test_an_instant_without_a_zone_and_a_zone_without_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        Calendar().period_of(datetime(2026, 1, 1))
    for name in ("Europe", "Mars/Olympus", "", "../etc/passwd"):
        with pytest.raises(ValueError, match="write an IANA name"):
            zone(name)


def test_the_default_is_the_month_in_utc() -> None:
    november = BillingPeriod(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    assert Calendar().period_of(datetime(2026, 11, 30, 23, tzinfo=UTC)) == november


def test_the_first_and_the_last_year_of_the_calendar_have_their_periods() -> None:
    first, last = datetime(2, 1, 1, tzinfo=UTC), datetime(9997, 12, 31, tzinfo=UTC)
    assert Calendar(Anchor("year", 31, 1)).period_of(first).start == datetime(1, 1, 31, tzinfo=UTC)
    assert Calendar(Anchor("year", 1, 12)).period_of(datetime(2, 12, 1, tzinfo=UTC)).start.year == 2
    assert Calendar(Anchor("year", 1, 12)).period_of(last).end == datetime(9998, 12, 1, tzinfo=UTC)


def test_an_hour_that_comes_again_after_midnight_is_of_the_month_that_has_begun() -> None:
    clocks_went_back = datetime(2009, 11, 1, 2, 31, tzinfo=UTC)  # from 00:01 to 23:01, so it is October there again
    november = Calendar(time_zone="America/St_Johns").period_of(clocks_went_back)
    assert november.start == datetime(2009, 11, 1, 2, 30, tzinfo=UTC)
    assert Calendar(time_zone="America/St_Johns").day_of(clocks_went_back) == date(2009, 10, 31)


@pytest.fixture
def machine_five_hours_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    midnight.cache_clear()
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()
    midnight.cache_clear()


@pytest.mark.usefixtures("machine_five_hours_behind")
def test_the_zone_of_the_machine_moves_no_midnight() -> None:
    for day, time_zone, first in (
        (date(2026, 3, 29), "Europe/Berlin", "2026-03-28T23:00:00+00:00"),
        (date(1919, 3, 31), "America/Toronto", "1919-03-31T04:30:00+00:00"),  # clocks go from 23:30 to 00:30
        (date(2026, 4, 24), "Africa/Cairo", "2026-04-23T22:00:00+00:00"),  # from 00:00 to 01:00
    ):
        assert midnight(day, time_zone).isoformat() == first


def test_a_zone_knows_its_name_and_its_rules_are_read_from_the_list_of_names() -> None:
    calendars_of_rating._zone_names.cache_clear()
    zone.cache_clear()
    assert zone("Europe/Berlin").key == "Europe/Berlin"
    assert zone("America/Argentina/Ushuaia").key == "America/Argentina/Ushuaia"


def test_a_month_that_no_year_has_is_a_fault_and_no_crash() -> None:
    with pytest.raises(ValueError, match="month: must be 1 to 12 for a year"):
        Anchor("year", 1, 13)
