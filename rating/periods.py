"""Billing periods: calendar months in UTC."""

import re
from datetime import UTC, date, datetime

import msgspec

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}", re.ASCII)


class Period(msgspec.Struct, frozen=True, order=True, cache_hash=True):
    """Days in [start, end), UTC."""

    start: date
    end: date


def month_of(day: date) -> Period:
    """The calendar month that holds `day`. Raises ValueError for December 9999, whose end is no date."""
    if isinstance(day, datetime):
        raise TypeError("an instant is not a day; use period_of")
    if (day.year, day.month) == (9999, 12):
        raise ValueError("December 9999 has no end that a date can hold")
    end = date(day.year + 1, 1, 1) if day.month == 12 else date(day.year, day.month + 1, 1)
    return Period(day.replace(day=1), end)


def period_of(instant: datetime) -> Period:
    """The period that holds `instant`. Raises ValueError for an instant without a zone."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no zone, so its day in UTC is unknown")
    return month_of(instant.astimezone(UTC).date())


def parse_period(written: str) -> Period:
    """The period written as "2026-11". Raises ValueError, saying how to write it."""
    if _MONTH.fullmatch(written):
        try:
            return month_of(date.fromisoformat(f"{written}-01"))
        except ValueError:
            pass  # there is no month 13, and no year 0
    raise ValueError(f"{written!r} is not a month; write it as 2026-11")
