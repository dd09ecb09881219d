"""What the accounts of some partitions used, day by day, as stage 2 asks for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from config.catalogue import BEGIN_MS, Catalogue
from processors.merge import Merged, MeterDays, Prefix
from processors.series import SeriesStates
from processors.states import UsageState
from rating.numbers import Quantity
from rating.prices import Combine
from rating.rollups import period_quantity
from rating.totals import DAY_MS, Total, day_ms

_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)


class AccountUsage:
    """`carried`: the meters whose usage goes on while nothing happens, gauges among them."""

    def __init__(
        self,
        catalogue: Catalogue,
        closer: frozenset[str],
        carried: frozenset[str],
        accounts: frozenset[str],
        by_window: frozenset[str],
    ) -> None:
        """`closer`: the meters, and `accounts` the accounts, whose prices look closer than at the total of a day;
        `by_window`: gauges of which a price asks for less than a day."""
        self.carried = carried
        self._aggregation = {meter.id: meter.aggregation for meter in catalogue.meters}
        self.series = SeriesStates(catalogue, closer, accounts, by_window)
        self.merged = Merged({(meter.id, meter.version): meter for meter in catalogue.meters}, self.series)
        self.clock_ms = BEGIN_MS  # the highest record timestamp seen: what is carried is rated up to its day

    @property
    def today(self) -> date:
        """The day of the clock."""
        return date.min if self.clock_ms == BEGIN_MS else _EPOCH + self.clock_ms // DAY_MS * _DAY

    def meters_of(self, account: str) -> frozenset[str]:
        """The meters that an account ever used."""
        return frozenset(meter for meter in self._aggregation if (account, meter) in self.merged.days)

    def totals(self, account: str, meters: frozenset[str], start: date, end: date) -> list[Total]:
        """The usage on the days [start, end), gauges up to today; of what is carried all before it too.

        Where usage is ahead of the clock, gauges go as far: what is said of a day must not change once the clock
        reaches it, as its version does not.
        """
        used = [max(self.merged.days.get((account, meter), {}), default=self.today) for meter in meters]
        totals = self.series.totals(account, meters, start, min(end, max(self.today, *used, date.min) + _DAY))
        since, until = day_ms(start), day_ms(end)
        return [one for one in totals if one.start_ms < until and (one.start_ms >= since or one.meter in self.carried)]

    def days(self, account: str, meters: Iterable[str], start: date, end: date) -> list[date]:
        """The days of [start, end) on which anything was used, ascending; of what is carried all that have come."""
        found: set[date] = set()
        for meter in meters:
            days = self.merged.days.get((account, meter), _NEVER)
            found |= {day for day in days if start <= day < end}
            if days and meter in self.carried:
                day, last = max(start, min(days)), min(end - _DAY, self.today)
                found |= {day + n * _DAY for n in range((last - day).days + 1)}
        return sorted(found)

    def versions(self, account: str, meters: Iterable[str], since: date, days: list[date]) -> dict[date, int]:
        """Of each day the sum over all partials up to it: those since `since`, and of what is carried all before it.

        What is carried grows by the day without any usage, so there the number of the day is part of it: who follows
        totals by version alone sees each day's.
        """
        meters = frozenset(meters)
        passing = not self.carried.isdisjoint(meters)
        states = sorted(
            (day, state.versions)
            for meter in meters
            for day, state in self.merged.days.get((account, meter), _NEVER).items()
            if day >= since or meter in self.carried
        )
        found, place, total = {}, 0, 0
        for day in days:
            while place < len(states) and states[place][0] <= day:
                total += states[place][1]
                place += 1
            found[day] = total + (day - _EPOCH).days * passing
        return found

    def by_day(
        self, account: str, meter: str, since: date, start: date, end: date, first: date
    ) -> tuple[Quantity | None, list[tuple[date, Quantity, int]]]:
        """The quantity of a meter on the days [start, first), None if there are none; and for each day of [first, end)
        that has any: the day, the quantity from `start` up to it, and its version as in `versions`."""
        if meter in self.carried:
            days = self.days(account, (meter,), start, end)
            versions, quantities = self.versions(account, (meter,), since, days), self._cumulated(account, meter, days)
            place = bisect_left(days, first)
            found = [(day, total, versions[day]) for day, total in zip(days, quantities, strict=True)]
            return quantities[place - 1] if place else None, found[place:]
        held, by = self.merged.days[(account, meter)], self._aggregation[meter]
        if first < start:
            first = start
        prefix, begin, version = held.prefix, since, 0
        running: UsageState | None = None  # of one day that day's own, and a new one from then on: never altered here
        if prefix is not None and prefix.start == start and prefix.until <= first:
            begin, version, running = prefix.until, prefix.version, prefix.state
        days = held.between(begin, end)
        place = bisect_left(days, first)
        for day in days[:place]:
            version += held[day].versions
            if day >= start:
                running = held[day] if running is None else running.merged(held[day])
        before = None if running is None else running.quantity(by)
        if running is not None and place >= _DAYS_WORTH_A_PREFIX and running.members is None:
            held.prefix = Prefix(start, first, version, running)
        found = []
        for day in days[place:]:
            state = held[day]
            version += state.versions
            running = state if running is None else running.merged(state)
            found.append((day, running.quantity(by), version))
        return before, found

    def _cumulated(self, account: str, meter: str, days: list[date]) -> list[Quantity]:
        """The quantity of a meter from the first of these days up to each of them."""
        if self._aggregation.get(meter) == "gauge" and days:
            totals = self.totals(account, frozenset((meter,)), days[0], days[-1] + _DAY)
            return [period_quantity(_Counted(meter), totals, day_ms(days[0]), day_ms(day + _DAY)) for day in days]
        states, running, quantities = self.merged.days.get((account, meter), _NEVER), UsageState(), []
        for day in days:
            running.merge(states.get(day, _NOTHING))
            quantities.append(running.quantity(self._aggregation[meter]))
        return quantities


_DAYS_WORTH_A_PREFIX = 3  # not where there are sets: they would be held twice
_NOTHING, _NEVER = UsageState(), MeterDays("", "")


class _Counted(NamedTuple):
    """A meter as it is, without a price."""

    meter: str | None
    combine: Combine | None = None
