"""Stage 2, pure: merged states and the catalogue in, rated rows out. Prices day by day within a period (I6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal

import msgspec

from config.catalogue import Catalogue
from processors.merge import Merged
from processors.outputs import WindowRow
from processors.states import UsageState
from rating.days import DayAmount, rate_days
from rating.numbers import Quantity, shown
from rating.periods import Period, month_of
from rating.prices import Price
from rating.rate import Segment
from sinks.superseded import RatedKey

_ZERO = Decimal(0)


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
        self.merged = Merged({(meter.id, meter.version): meter for meter in catalogue.meters})
        self._catalogue, self._tariff = catalogue, catalogue.tariff()
        self._aggregation = {meter.id: meter.aggregation for meter in catalogue.meters}
        self._named = [account for account in catalogue.account_ids() if mine(account)]
        self._months: set[Period] = set()
        self._opened: set[tuple[str, Period]] = set()

    def add(self, rows: list[WindowRow]) -> None:
        """Merge rows; nothing is rated until `rate`."""
        self.merged.add(rows)

    def rate(self) -> list[RatedRow]:
        """Every rated row that what changed since the last call may have changed. Rows of one period stand together."""
        changed, self.merged.dirty = self.merged.dirty, {}
        due = {(account, month_of(month)): meters for (account, month), meters in changed.items()}
        rows: list[RatedRow] = []
        for account, period in self._unopened([period for _, period in due]):
            due.setdefault((account, period), {})
        for (account, period), meters in sorted(due.items()):
            segments = self._tariff.segments(account, period)
            if (account, period) not in self._opened:
                self._opened.add((account, period))
                rows += self._opening(account, period, segments)
            for meter, first in sorted(meters.items()):
                rows += self._meter(account, period, segments, meter, first)
        return rows

    def _unopened(self, periods: Iterable[Period]) -> Iterator[tuple[str, Period]]:
        """Named accounts owe flat prices in every period that has usage of anybody here, their own or not."""
        fresh = set(periods) - self._months
        self._months |= fresh
        return ((account, period) for account in self._named for period in fresh)

    def _opening(self, account: str, period: Period, segments: list[Segment]) -> list[RatedRow]:
        rows = []
        for segment in segments:
            for price in segment.plan.price if segment.plan else ():
                opening = rate_days(price, [])[0]
                rows.append(self._row(account, period, segment, price, opening, 0, opening.amount))
        return rows

    def _meter(
        self, account: str, period: Period, segments: list[Segment], meter: str, first: date
    ) -> Iterator[RatedRow]:
        """The days from `first` on; those before it keep their amounts, as a price looks at the total up to a day."""
        days = self.merged.days[(account, meter)]
        before = 0  # versions of the period's earlier segments: a row's version covers the period up to its day
        for segment in segments:
            within = sorted(day for day in days if segment.start <= day < segment.end)
            totals, versions = self._cumulate(meter, within, days, before)
            before = versions[-1] if versions else before
            prices = [price for price in segment.plan.price if price.meter == meter] if segment.plan else []
            for price in prices:
                owed = _ZERO
                for place, row in enumerate(rate_days(price, list(zip(within, totals, strict=True)))):
                    owed += row.amount
                    if row.day is not None and row.day >= first:
                        yield self._row(account, period, segment, price, row, versions[place - 1], owed)
            if not prices:
                reason = segment.reason
                if segment.plan:
                    reason = f"plan {segment.plan.id} version {segment.plan.version} has no price for this meter"
                amounts = _unrated_days(within, totals)
                for row, version in zip(amounts, versions, strict=True):
                    if row.day is not None and row.day >= first:
                        yield self._unrated(account, period, segment, meter, row, version, reason)

    def _cumulate(
        self, meter: str, within: list[date], days: dict[date, UsageState], versions: int
    ) -> tuple[list[Quantity], list[int]]:
        """The quantity from the segment's start up to each day, and its version."""
        running, totals, sums = UsageState(versions=versions), [], []
        for day in within:
            running.merge(days[day])
            totals.append(running.quantity(self._aggregation[meter]))
            sums.append(running.versions)
        return totals, sums

    def _row(
        self, account: str, period: Period, segment: Segment, price: Price, row: DayAmount, version: int, owed: Decimal
    ) -> RatedRow:
        assert segment.plan is not None
        return RatedRow(
            account=account,
            plan=segment.plan.id,
            plan_version=segment.plan.version,
            price=price.id,
            model=price.model,
            meter=price.meter or "",
            currency=segment.plan.currency,
            period_start=period.start,
            segment_start=segment.start,
            day=row.day or segment.start,
            opening=row.day is None,
            part="",
            quantity=row.quantity,
            quantity_total=row.quantity_total,
            amount=row.amount,
            amount_total=owed,
            unrated_reason="",
            generation=self._catalogue.generation,
            version=version,
        )

    def _unrated(
        self, account: str, period: Period, segment: Segment, meter: str, row: DayAmount, version: int, reason: str
    ) -> RatedRow:
        assert row.day is not None
        return RatedRow(
            account=account,
            plan=segment.plan.id if segment.plan else "",
            plan_version=segment.plan.version if segment.plan else 0,
            price="",
            model="",
            meter=meter,
            currency=segment.plan.currency if segment.plan else "",
            period_start=period.start,
            segment_start=segment.start,
            day=row.day,
            opening=False,
            part="",
            quantity=row.quantity,
            quantity_total=row.quantity_total,
            amount=None,
            amount_total=None,
            unrated_reason=reason,
            generation=self._catalogue.generation,
            version=version,
        )


def _unrated_days(days: list[date], totals: list[Quantity]) -> list[DayAmount]:
    rows, before = [], _ZERO
    for day, total in zip(days, totals, strict=True):
        now = shown(total)
        rows.append(DayAmount(day, now - before, now, _ZERO))
        before = now
    return rows


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
