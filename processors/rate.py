"""Stage 2, pure: merged states and the catalogue in, rated rows out. Prices day by day within a period (I6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from config.catalogue import BEGIN_MS, Catalogue
from processors.account_usage import AccountUsage
from processors.outputs import WindowRow
from processors.rate_contracts import Line, contract_days, days_of, held_by, periods_of
from processors.rate_parts import PartDay, part_days
from rating.calendar import BillingPeriod
from rating.contracts import Contract
from rating.days import rate_days
from rating.numbers import EXACT, Quantity, shown
from rating.periods import Period, month_of
from rating.prices import Price, meters_of, needs_totals
from rating.rate import Segment
from rating.usage import carries, price_usage, rolled_up_within_a_day
from sinks.superseded import RatedKey

_ZERO = Decimal(0)
_DAY = timedelta(days=1)
TAKEN_BACK = -1  # version of a total that is taken back, on `usage.rated`: below all others of its generation


class RatedRow(msgspec.Struct):
    """One day of one price for one account, or its opening row: what is owed before any usage.

    Row version: generation << 64 | version, where `version` is the sum of (version + 1) over the account's and meter's
    partials of the period up to that day. It grows when any of them does, in whatever order they come. Of what is
    carried it grows by the day as well.
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
        self._gauges = frozenset(meter.id for meter in catalogue.meters if meter.aggregation == "gauge")
        prices = list(self._tariff.prices())
        closer = frozenset().union(*(meters_of(price) for price in prices if self._looks_closer(price)))
        carrying = frozenset().union(*(meters_of(price) for price in prices if carries(price)))
        whole = self._tariff.accounts_priced_whole()
        by_window = frozenset().union(*(meters_of(price) for price in prices if rolled_up_within_a_day(price)))
        self.usage = AccountUsage(catalogue, closer | self._gauges, self._gauges | carrying, whole, by_window)
        self._reached: dict[tuple[str, str], date] = {}  # (account, carried meter) -> the last day rated
        self._named = [account for account in catalogue.account_ids() if mine(account)]
        self._agreed = [contract for contract in catalogue.contracts if mine(contract.account)]
        self._months: set[Period] = set()
        self._opened_through = month_of(date.min)
        self._opened: set[tuple[str, Period]] = set()
        self._begun: set[tuple[str, BillingPeriod]] = set()  # (contract, period of it) with opening rows sent

    def _looks_closer(self, price: Price) -> bool:
        return needs_totals(price) or not self._gauges.isdisjoint(meters_of(price))

    def add(self, rows: list[WindowRow], clock_ms: int = BEGIN_MS) -> None:
        """Merge rows; nothing is rated until `rate`. `clock_ms`: the highest timestamp of their records."""
        self.usage.merged.add(rows)
        self.usage.clock_ms = max(self.usage.clock_ms, clock_ms)

    def rate(self) -> list[RatedRow]:
        """Every rated row that what changed since the last call may have changed. Rows of one period stand together."""
        merged = self.usage.merged
        changed, merged.dirty = merged.dirty, {}
        due = {(account, month_of(month)): meters for (account, month), meters in changed.items()}
        self._carry_on(due)
        for account, period in list(self._unopened([period for _, period in due])):
            due.setdefault((account, period), {})
        rows: list[RatedRow] = []
        whole: dict[tuple[str, datetime], _WholeDue] = {}
        for (account, period), meters in sorted(due.items()):
            opens = (account, period) not in self._opened
            self._opened.add((account, period))
            for segment in self._tariff.segments(account, period):
                if segment.contract is not None:
                    _join(whole, segment, opens, meters)
                    continue
                rows += self._opening(account, period, segment) if opens else ()
                rows += self._segment(account, period, segment, meters)
        for one in whole.values():
            rows += self._whole(one)
        return rows

    def _carry_on(self, due: dict[tuple[str, Period], dict[str, date]]) -> None:
        """A gauge owes for each day that passes, and a late reading changes all days after it."""
        today = self.usage.today
        begun: dict[tuple[str, str], date] = {}
        for (account, _), meters in due.items():
            for meter in self.usage.carried & meters.keys():
                begun[(account, meter)] = min(meters[meter], begun.get((account, meter), meters[meter]))
        for place, last in self._reached.items():
            if last < today:
                begun[place] = min(last + _DAY, begun.get(place, today))
        for (account, meter), start in begun.items():
            period, last_used = month_of(start), max(self.usage.merged.days[(account, meter)])
            while period.start <= max(today, last_used):
                firsts = due.setdefault((account, period), {})
                firsts[meter] = min(max(start, period.start), firsts.get(meter, period.end))
                period = month_of(period.end)
            self._reached[(account, meter)] = max(today, self._reached.get((account, meter), today))

    def _unopened(self, periods: Iterable[Period]) -> Iterator[tuple[str, Period]]:
        """Named accounts owe flat prices in every period that has usage of anybody here, and while a contract holds."""
        fresh = set(periods) - self._months
        self._months |= fresh
        yield from ((account, period) for account in self._named for period in fresh)
        this = month_of(self.usage.today)
        if this == self._opened_through:
            return
        for contract in self._agreed:
            period = month_of(contract.from_.date())
            while period.start <= this.start and (contract.to is None or _midnight(period.start) < contract.to):
                yield contract.account, period
                period = month_of(period.end)
        self._opened_through = this

    # -- months of days in UTC

    def _opening(self, account: str, period: Period, segment: Segment) -> Iterator[RatedRow]:
        for price in segment.plan.price if segment.plan else ():
            if not price.per:
                owed = price_usage(price, [], Period(segment.start, segment.end), segment.start, whole=period).amount
                row = PartDay(None, "", _ZERO, _ZERO, owed, owed, "")
                yield self._row(account, period.start, segment.start, _line(segment, price), row, 0)

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
            yield from self._unrated(account, period, segment, meter, due[meter])

    def _price(self, account: str, period: Period, segment: Segment, price: Price, first: date) -> Iterator[RatedRow]:
        meters = meters_of(price)
        days = self.usage.days(account, meters, segment.start, segment.end)
        versions = self.usage.versions(account, meters, period.start, days)
        if self._looks_closer(price):
            totals = self.usage.totals(account, meters, segment.start, segment.end)
            rows: Iterable[PartDay] = part_days(price, totals, Period(segment.start, segment.end), period, days, first)
        else:
            assert price.meter is not None
            rows = _whole_days(price, days, self.usage.cumulated(account, price.meter, days))
        line = _line(segment, price)
        for row in rows:
            if row.day is not None and row.day >= first:
                yield self._row(account, period.start, segment.start, line, row, versions[row.day])

    def _unrated(self, account: str, period: Period, segment: Segment, meter: str, first: date) -> Iterator[RatedRow]:
        plan, reason = segment.plan, segment.reason
        if plan:
            reason = f"plan {plan.id} version {plan.version} has no price for this meter"
        line = Line(
            "",
            meter,
            "",
            segment.start,
            plan.id if plan else "",
            plan.version if plan else 0,
            "",
            plan.currency if plan else "",
        )
        days = self.usage.days(account, (meter,), segment.start, segment.end)
        versions = self.usage.versions(account, (meter,), period.start, days)
        before = _ZERO
        for day, total in zip(days, self.usage.cumulated(account, meter, days), strict=True):
            now = shown(total)
            if day >= first:
                row = PartDay(day, "", EXACT.subtract(now, before), now, None, None, reason)
                yield self._row(account, period.start, segment.start, line, row, versions[day])
            before = now

    # -- contracts with periods of their own, or that change within them

    def _whole(self, due: _WholeDue) -> Iterator[RatedRow]:
        """Every billing period of a contract that the due days touch, from the first change on."""
        contract = due.contract
        meters = self.usage.meters_of(contract.account)
        for period in periods_of(contract, due.start, due.end):
            start, end = days_of(period)
            days = self.usage.days(contract.account, meters, start, end)
            versions = self.usage.versions(contract.account, meters, start, days)
            totals = held_by(contract, period, self.usage.totals(contract.account, meters, start, end))
            first = end if due.first is None else due.first
            # Once: alone on the topic, an opening row would stand where compaction takes a later total away.
            begins = (contract.name, period) not in self._begun
            self._begun.add((contract.name, period))
            for line, row in contract_days(contract, self._tariff, period, totals, days, first):
                if row.day is None and begins:
                    yield self._row(contract.account, start, line.start, line, row, 0)
                elif row.day is not None and row.day >= first:
                    yield self._row(contract.account, start, line.start, line, row, versions[row.day])

    def _row(
        self, account: str, period_start: date, segment_start: date, line: Line, row: PartDay, version: int
    ) -> RatedRow:
        return RatedRow(
            account=account,
            plan=line.plan,
            plan_version=line.plan_version,
            price=line.price,
            model=line.model,
            meter=line.meter,
            currency=line.currency,
            period_start=period_start,
            segment_start=segment_start,
            day=row.day or segment_start,
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


class _WholeDue(NamedTuple):
    """What is due of a contract: the days [start, end), those from `first` on changed (None: none), or it opens."""

    contract: Contract
    start: date
    end: date
    first: date | None
    opens: bool


def _join(due: dict[tuple[str, datetime], _WholeDue], segment: Segment, opens: bool, meters: dict[str, date]) -> None:
    contract = segment.contract
    assert contract is not None
    first = min(meters.values(), default=None)
    start = segment.start if opens or first is None else max(segment.start, first)
    place = (contract.account, contract.from_)
    was = due.get(place)
    if was is not None:
        firsts = [one for one in (was.first, first) if one is not None]
        due[place] = _WholeDue(
            contract,
            min(was.start, start),
            max(was.end, segment.end),
            min(firsts, default=None),
            was.opens or opens,
        )
    else:
        due[place] = _WholeDue(contract, start, segment.end, first, opens)


def _line(segment: Segment, price: Price) -> Line:
    plan = segment.plan
    assert plan is not None
    place = (price.id, price.meter or "", "", segment.start)
    return Line(*place, plan.id, plan.version, price.model, plan.currency)


def _whole_days(price: Price, days: list[date], totals: list[Quantity]) -> Iterator[PartDay]:
    """The days of a price that its meter's total is enough for."""
    owed = _ZERO
    for row in rate_days(price, list(zip(days, totals, strict=True))):
        owed = EXACT.add(owed, row.amount)
        yield PartDay(row.day, "", row.quantity, row.quantity_total, row.amount, owed, "")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


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
