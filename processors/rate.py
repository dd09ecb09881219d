"""Stage 2, pure: merged states and the catalogue in, rated rows out. Prices day by day within a period (I6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from config.catalogue import BEGIN_MS, Catalogue
from processors.merge import Merged
from processors.outputs import WindowRow
from processors.rate_parts import PartDay, part_days
from processors.series import SeriesStates
from processors.states import UsageState
from rating.days import rate_days
from rating.numbers import EXACT, Quantity, shown
from rating.periods import Period, month_of
from rating.prices import Combine, Price, meters_of, needs_totals
from rating.rate import Segment
from rating.rollups import period_quantity
from rating.totals import DAY_MS, day_ms
from rating.usage import carries, price_usage
from sinks.superseded import RatedKey

_ZERO = Decimal(0)
_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)


class RatedRow(msgspec.Struct):
    """One day of one price for one account, or its opening row: what is owed before any usage.

    Row version: generation << 64 | version, where `version` is the sum of (version + 1) over the account's and meter's
    partials of the period up to that day. It grows when any of them does, in whatever order they come.
    """

    account: str
    plan: str
    plan_version: int
    price: str
    model: str
    meter: str
    currency: str
    period_start: date
    segment_start: date
    day: date
    opening: bool
    part: str  # the values of the dimensions that a price is taken apart by, as JSON; "" for all pooled
    quantity: Decimal
    quantity_total: Decimal
    amount: Decimal | None  # None: not rated, and the reason says why
    amount_total: Decimal | None  # of the segment up to and including this row
    unrated_reason: str
    generation: int
    version: int


class Rater:
    """Rates what changed, for the accounts that `mine` says are ours."""

    def __init__(self, catalogue: Catalogue, mine: Callable[[str], bool]) -> None:
        self._catalogue, self._tariff = catalogue, catalogue.tariff()
        self._aggregation = {meter.id: meter.aggregation for meter in catalogue.meters}
        self._gauges = frozenset(meter for meter, kind in self._aggregation.items() if kind == "gauge")
        prices = [price for plan in catalogue.plans for price in plan.price]
        closer = frozenset().union(*(meters_of(price) for price in prices if self._looks_closer(price)))
        carrying = frozenset().union(*(meters_of(price) for price in prices if carries(price)))
        self._carried = self._gauges | carrying  # their usage goes on while nothing happens
        self.series = SeriesStates(catalogue, closer | self._gauges)
        self.merged = Merged({(meter.id, meter.version): meter for meter in catalogue.meters}, self.series)
        self.clock_ms = BEGIN_MS  # the highest record timestamp seen: gauges are rated up to its day
        self._reached: dict[tuple[str, str], date] = {}  # (account, carried meter) -> the last day rated
        self._named = [account for account in catalogue.account_ids() if mine(account)]
        self._months: set[Period] = set()
        self._opened: set[tuple[str, Period]] = set()

    def _looks_closer(self, price: Price) -> bool:
        return needs_totals(price) or not self._gauges.isdisjoint(meters_of(price))

    def add(self, rows: list[WindowRow]) -> None:
        """Merge rows; nothing is rated until `rate`."""
        self.merged.add(rows)

    def rate(self) -> list[RatedRow]:
        """Every rated row that what changed since the last call may have changed. Rows of one period stand together."""
        changed, self.merged.dirty = self.merged.dirty, {}
        due = {(account, month_of(month)): meters for (account, month), meters in changed.items()}
        self._carry_on(due)
        rows: list[RatedRow] = []
        for account, period in self._unopened([period for _, period in due]):
            due.setdefault((account, period), {})
        for (account, period), meters in sorted(due.items()):
            segments = self._tariff.segments(account, period)
            if (account, period) not in self._opened:
                self._opened.add((account, period))
                rows += self._opening(account, period, segments)
            for segment in segments:
                rows += self._segment(account, period, segment, meters)
        return rows

    def _carry_on(self, due: dict[tuple[str, Period], dict[str, date]]) -> None:
        """A gauge owes for each day that passes, and a late reading changes all days after it."""
        today = _day_of(self.clock_ms)
        begun: dict[tuple[str, str], date] = {}
        for (account, _), meters in due.items():
            for meter in self._carried & meters.keys():
                begun[(account, meter)] = min(meters[meter], begun.get((account, meter), meters[meter]))
        for place, last in self._reached.items():
            if last < today:
                begun[place] = min(last + _DAY, begun.get(place, today))
        for (account, meter), start in begun.items():
            period = month_of(start)
            while period.start <= today:
                firsts = due.setdefault((account, period), {})
                firsts[meter] = min(max(start, period.start), firsts.get(meter, period.end))
                period = month_of(period.end)
            self._reached[(account, meter)] = max(today, self._reached.get((account, meter), today))

    def _unopened(self, periods: Iterable[Period]) -> Iterator[tuple[str, Period]]:
        """Named accounts owe flat prices in every period that has usage of anybody here, their own or not."""
        fresh = set(periods) - self._months
        self._months |= fresh
        return ((account, period) for account in self._named for period in fresh)

    def _opening(self, account: str, period: Period, segments: list[Segment]) -> list[RatedRow]:
        rows = []
        for segment in segments:
            for price in segment.plan.price if segment.plan else ():
                if not price.per:
                    owed = price_usage(
                        price, [], Period(segment.start, segment.end), segment.start, whole=period
                    ).amount
                    opening = PartDay(None, "", _ZERO, _ZERO, owed, owed, "")
                    rows.append(self._row(account, period, segment, price, opening, 0))
        return rows

    def _segment(self, account: str, period: Period, segment: Segment, due: dict[str, date]) -> Iterator[RatedRow]:
        """The days of a segment from the first change on; those before it keep their amounts."""
        rated: set[str] = set()
        for price in segment.plan.price if segment.plan else ():
            meters = meters_of(price)
            rated |= meters
            changed = [first for meter, first in due.items() if meter in meters]
            if changed:
                yield from self._price(account, period, segment, price, min(changed))
        for meter in sorted(due.keys() - rated):
            reason = segment.reason
            if segment.plan:
                reason = f"plan {segment.plan.id} version {segment.plan.version} has no price for this meter"
            yield from self._unrated(account, period, segment, meter, due[meter], reason)

    def _price(self, account: str, period: Period, segment: Segment, price: Price, first: date) -> Iterator[RatedRow]:
        meters = meters_of(price)
        days = self._days(account, meters, segment, carried=carries(price))
        versions = self._versions(account, meters, period, days)
        if self._looks_closer(price):
            totals = self.series.totals(account, meters, min(segment.end, _day_of(self.clock_ms) + _DAY))
            rows: Iterable[PartDay] = part_days(price, totals, Period(segment.start, segment.end), period, days, first)
        else:
            assert price.meter is not None
            rows = _whole_days(price, days, self._cumulate(account, price.meter, days))
        for row in rows:
            if row.day is not None and row.day >= first:
                yield self._row(account, period, segment, price, row, versions[row.day])

    def _unrated(
        self, account: str, period: Period, segment: Segment, meter: str, first: date, reason: str
    ) -> Iterator[RatedRow]:
        days = self._days(account, frozenset((meter,)), segment)
        versions = self._versions(account, frozenset((meter,)), period, days)
        before = _ZERO
        for day, total in zip(days, self._cumulate(account, meter, days), strict=True):
            now = shown(total)
            if day >= first:
                row = PartDay(day, "", EXACT.subtract(now, before), now, None, None, reason)
                yield self._row(account, period, segment, meter, row, versions[day])
            before = now

    # -- days, their versions and quantities

    def _days(self, account: str, meters: frozenset[str], segment: Segment, *, carried: bool = False) -> list[date]:
        """The days of a segment on which anything was used, ascending; of what is carried all days that have come."""
        found: set[date] = set()
        for meter in meters:
            days = self.merged.days.get((account, meter), {})
            found |= {day for day in days if segment.start <= day < segment.end}
            if days and (carried or meter in self._gauges):
                day, last = max(segment.start, min(days)), min(segment.end - _DAY, _day_of(self.clock_ms))
                found |= {day + n * _DAY for n in range((last - day).days + 1)}
        return sorted(found)

    def _versions(self, account: str, meters: frozenset[str], period: Period, days: list[date]) -> dict[date, int]:
        """Of each day the sum over all partials up to it: of the period's, and of what is carried all before it too."""
        states = sorted(
            (day, state.versions)
            for meter in meters
            for day, state in self.merged.days.get((account, meter), {}).items()
            if day >= period.start or meter in self._carried
        )
        found, place, total = {}, 0, 0
        for day in days:
            while place < len(states) and states[place][0] <= day:
                total += states[place][1]
                place += 1
            found[day] = total
        return found

    def _cumulate(self, account: str, meter: str, days: list[date]) -> list[Quantity]:
        """The quantity of a segment up to each of its days."""
        if meter in self._gauges and days:
            totals = self.series.totals(account, frozenset((meter,)), days[-1] + _DAY)
            start = day_ms(days[0])
            return [period_quantity(_Counted(meter), totals, start, day_ms(day + _DAY)) for day in days]
        states, running, totals_ = self.merged.days.get((account, meter), {}), UsageState(), []
        for day in days:
            running.merge(states[day])
            totals_.append(running.quantity(self._aggregation[meter]))
        return totals_

    def _row(
        self, account: str, period: Period, segment: Segment, priced: Price | str, row: PartDay, version: int
    ) -> RatedRow:
        """`priced`: the price, or the meter that has none."""
        plan, price = segment.plan, None if isinstance(priced, str) else priced
        return RatedRow(
            account=account,
            plan=plan.id if plan else "",
            plan_version=plan.version if plan else 0,
            price=price.id if price else "",
            model=price.model if price else "",
            meter=priced if isinstance(priced, str) else priced.meter or "",
            currency=plan.currency if plan else "",
            period_start=period.start,
            segment_start=segment.start,
            day=row.day or segment.start,
            opening=row.day is None,
            part=row.part,
            quantity=row.quantity,
            quantity_total=row.quantity_total,
            amount=row.amount,
            amount_total=row.amount_total,
            unrated_reason=row.reason,
            generation=self._catalogue.generation,
            version=version,
        )


class _Counted(NamedTuple):
    """A meter as it is, without a price."""

    meter: str | None
    combine: Combine | None = None


def _day_of(at_ms: int) -> date:
    return date.min if at_ms == BEGIN_MS else _EPOCH + at_ms // DAY_MS * _DAY


def _whole_days(price: Price, days: list[date], totals: list[Quantity]) -> Iterator[PartDay]:
    """The days of a price that its meter's total is enough for."""
    owed = _ZERO
    for row in rate_days(price, list(zip(days, totals, strict=True))):
        owed = EXACT.add(owed, row.amount)
        yield PartDay(row.day, "", row.quantity, row.quantity_total, row.amount, owed, "")


def taken_back(old: RatedKey, generation: int) -> RatedRow:
    """A zero row for what an older catalogue rated and this one does not. Any later row of its key is above it."""
    return RatedRow(
        account=old.account,
        plan="",
        plan_version=0,
        price=old.price,
        model="",
        meter=old.meter,
        currency=old.currency,
        period_start=old.period_start,
        segment_start=old.segment_start,
        day=old.day,
        opening=old.opening,
        part=old.part,
        quantity=_ZERO,
        quantity_total=_ZERO,
        amount=_ZERO,
        amount_total=_ZERO,
        unrated_reason="",
        generation=generation,
        version=0,
    )
