"""Billing periods: where they begin in a time zone, also when a month has no 31st and a day has 23 hours."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from rating.checks import UNKNOWN, Checked, PathFault, Read

_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Anchor(Checked, frozen=True):
    """The day on which each period begins, at midnight in the contract's time zone.

    `day` is of the month, the last one where a month is shorter (and the 31st again after that), or of the week, 1
    for Monday. `month` is of the year for `year`, and of each quarter (1 to 3) for `quarter`.
    """

    every: Literal["week", "month", "quarter", "year"] = "month"
    day: Annotated[int, msgspec.Meta(ge=1, le=31)] = 1
    month: Annotated[int, msgspec.Meta(ge=1, le=12)] = 1

    @classmethod
    def faults_in(cls, item: Any, read: Read) -> Iterator[PathFault]:
        """A day and a month that there are."""
        every, day, month = read(item, "every"), read(item, "day"), read(item, "month")
        if UNKNOWN in (every, day, month):
            return
        if every == "week" and day > 7:
            yield ("day",), "must be 1 (Monday) to 7 (Sunday) for a week"
        months_max = {"year": 12, "quarter": 3}.get(every, 1)
        if month > months_max:
            yield ("month",), f"must be 1 to {months_max} for a {every}" if months_max > 1 else f"is not for a {every}"
        elif every == "year" and day > _LONGEST[month - 1]:
            yield ("day",), f"must be a day that month {month} has"


class BillingPeriod(NamedTuple):
    """The instants [start, end), both UTC."""

    start: datetime
    end: datetime


class Calendar(msgspec.Struct, frozen=True):
    """The periods of an anchor in a time zone. Instants must have a zone and lie in the years 2 to 9997."""

    anchor: Anchor = Anchor()
    time_zone: str = "UTC"

    def period_of(self, instant: datetime) -> BillingPeriod:
        """The period that holds `instant`. Raises ValueError without a zone or for an unknown time zone."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no zone, so its period is unknown")
        place = self._place(self.day_of(instant))
        while instant < self._begin(place):  # the day of the month comes later, or clocks went back over midnight
            place -= 1
        while instant >= self._begin(place + 1):
            place += 1
        return BillingPeriod(self._begin(place), self._begin(place + 1))

    def next(self, period: BillingPeriod) -> BillingPeriod:
        """The period after `period`."""
        return self.period_of(period.end)

    def day_of(self, instant: datetime) -> date:
        """The local day of an instant."""
        return instant.astimezone(zone(self.time_zone)).date()

    def _begin(self, place: int) -> datetime:
        return midnight(_day(self.anchor, place), self.time_zone)

    def _place(self, day: date) -> int:
        """Number of a period near `day`; consecutive periods have consecutive numbers."""
        if self.anchor.every == "week":
            return (day.toordinal() - self.anchor.day) // 7
        return (day.year * 12 + day.month - self.anchor.month) // _MONTHS[self.anchor.every]


@lru_cache(maxsize=4096)
def _day(anchor: Anchor, place: int) -> date:
    if anchor.every == "week":
        return date.fromordinal(place * 7 + anchor.day)  # day 1 of year 1 was a Monday
    year, month = divmod(place * _MONTHS[anchor.every] + anchor.month - 1, 12)
    first = date(year, month + 1, 1)
    after = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    return min(first + timedelta(days=anchor.day - 1), after - timedelta(days=1))


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError for another name.

    From the package tzdata, which the lock pins, and not from the system: all machines must have the same rules.
    """
    if name not in _zone_names():
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as Europe/Berlin")
    with files("tzdata").joinpath("zoneinfo", name).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


@lru_cache(maxsize=16384)
def midnight(day: date, time_zone: str) -> datetime:
    """The first instant of a local day, in UTC: where clocks skip midnight, the first one after it."""
    local = datetime.combine(day, time(), zone(time_zone))  # of two midnights, fold=0 is the first
    instant = local.astimezone(UTC)
    if instant.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    before, after = local.replace(fold=1).astimezone(UTC), instant  # the clocks jump in (before, after]
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(local.tzinfo).replace(tzinfo=None) < local.replace(tzinfo=None):
            before = middle
        else:
            after = middle
    return after
