"""Stage 2, pure: merged states and the catalogue in, rated rows out. Prices day by day within a period (I6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import msgspec

from config.catalogue import BEGIN_MS, Catalogue
from processors.account_usage import AccountUsage
from processors.rate_contracts import Line, WholeDue, contract_days, days_held, days_of, held_by, join, periods_of
from processors.rate_gaps import BY_DEFAULT, NO_CONTRACT, gap_days, gap_rows
from processors.rate_parts import PartDay, part_days
from processors.rate_pieces import Piece, Priced
from rating.calendar import BillingPeriod
from rating.numbers import EXACT, shown
from rating.periods import Period, month_of
from rating.prices import Price, meters_of, needs_totals, price_amount
from rating.rate import Segment
from rating.usage import carries, rolled_up_within_a_day
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
        self._pieces: dict[tuple[str, Period], list[Piece]] = {}  # by account ("": any without a contract) and month
        self._months: set[Period] = set()
        self._opened_through = month_of(date.min)
        self._opened: set[tuple[str, Period]] = set()
        self._begun: set[tuple[str, BillingPeriod]] = set()  # (contract, period of it) with opening rows sent

    def _looks_closer(self, price: Price) -> bool:
        return needs_totals(price) or not self._gauges.isdisjoint(meters_of(price))

    def add(self, values: list[bytes], clock_ms: int = BEGIN_MS) -> int:
        """Merge records of usage.windows; nothing is rated until `rate`. `clock_ms`: the highest timestamp of them.
        The number of rows in them."""
        rows = self.usage.merged.add(values)
        self.usage.clock_ms = max(self.usage.clock_ms, clock_ms)
        return rows

    def rate(self) -> list[RatedRow]:
        """Every rated row that what changed since the last call may have changed. Rows of one period stand together."""
        due = self.usage.merged.take_changed()
        self._carry_on(due)
        for account, period in list(self._unopened({period for _, period in due})):
            due.setdefault((account, period), {})
        rows: list[RatedRow] = []
        whole: dict[tuple[str, datetime], WholeDue] = {}
        for (account, period), meters in sorted(due.items()):
            opens = (account, period) not in self._opened
            self._opened.add((account, period))
            for piece in self._pieces_of(account, period):
                if piece.segment.contract is not None:
                    join(whole, piece.segment, opens, meters)
                    continue
                if opens:
                    openings = ((one.line, one.opening) for one in piece.prices if one.opening is not None)
                    rows += [self._row(account, period.start, line.start, line, row, 0) for line, row in openings]
                rows += self._segment(account, period, piece, meters)
        for one in whole.values():
            rows += self._whole(one)
            rows += self._gaps(one)
        return rows

    def _carry_on(self, due: dict[tuple[str, Period], dict[str, date]]) -> None:
        """A gauge owes for each day that passes, and a late reading changes all days after it."""
        today = self.usage.today
        begun: dict[tuple[str, str], date] = {}
        for (account, _), meters in due.items() if self.usage.carried else ():
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

    def _unopened(self, periods: set[Period]) -> Iterator[tuple[str, Period]]:
        """Named accounts owe flat prices in every period that has usage of anybody here, and while a contract holds."""
        fresh = periods - self._months
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

    def _pieces_of(self, account: str, period: Period) -> list[Piece]:
        """Those of the default plan are shared by all accounts without a contract."""
        place = (account if self._tariff.contracts_of(account) else "", period)
        if place not in self._pieces:
            segments = self._tariff.segments(account, period)
            self._pieces[place] = [Piece(one, period, self._looks_closer) for one in segments]
        return self._pieces[place]

    def _segment(self, account: str, period: Period, piece: Piece, due: dict[str, date]) -> list[RatedRow]:
        """The days of a segment from the first change on; those before it keep their amounts."""
        rows: list[RatedRow] = []
        for meter, first in due.items():
            for one in piece.plain(meter):
                self._days(rows, account, period.start, piece.segment, one, first)
        for one in piece.closer:
            changed = [due[meter] for meter in one.meters if meter in due]
            if changed:
                rows += self._closer(account, period, piece.segment, one, min(changed))
        return rows

    def _days(
        self, rows: list[RatedRow], account: str, month: date, segment: Segment, one: Priced, first: date
    ) -> None:
        """Of a price that its meter's total is enough for, or of usage without one: each day is a difference."""
        line, price, place = one.line, one.price, (month, segment.start)
        before, days = self.usage.by_day(account, line.meter, *place, segment.end, first)
        total, owed, amount = _ZERO if before is None else shown(before), None, None
        if price is not None:
            owed = one.opening.amount if before is None and one.opening else price_amount(price, before or _ZERO)
        about = (account, line.plan, line.plan_version, line.price, line.model, line.meter, line.currency, *place)
        generation = self._catalogue.generation
        for day, quantity, version in days:
            total_was, total = total, shown(quantity)
            if price is not None and owed is not None:
                owed_was, owed = owed, price_amount(price, quantity)
                amount = EXACT.subtract(owed, owed_was)
            added = EXACT.subtract(total, total_was)
            rows.append(RatedRow(*about, day, False, "", added, total, amount, owed, one.reason, generation, version))

    def _closer(self, account: str, period: Period, segment: Segment, one: Priced, first: date) -> Iterator[RatedRow]:
        assert one.price is not None
        days = self.usage.days(account, one.meters, segment.start, segment.end)
        versions = self.usage.versions(account, one.meters, period.start, days)
        totals = self.usage.totals(account, one.meters, segment.start, segment.end)
        for row in part_days(one.price, totals, Period(segment.start, segment.end), period, days, first):
            if row.day is not None and row.day >= first:
                yield self._row(account, period.start, segment.start, one.line, row, versions[row.day])

    # -- contracts with periods of their own, or that change within them

    def _whole(self, due: WholeDue) -> Iterator[RatedRow]:
        """Every billing period of a contract that the due days touch, from the first change on."""
        contract = due.contract
        meters = self.usage.meters_of(contract.account)
        for period in periods_of(contract, due.start, due.end):
            start, end = days_of(period)
            days = self.usage.days(contract.account, meters, *days_held(contract, period))
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

    def _gaps(self, due: WholeDue) -> Iterator[RatedRow]:
        """Of the days due on which a contract of the account begins or ends, what no contract holds."""
        if due.first is None:  # it opens, and nothing was used
            return
        account, begin = due.contract.account, max(due.start, due.first)
        contracts, meters = self._tariff.contracts_of(account), self.usage.meters_of(account)
        reason = NO_CONTRACT if self._tariff.default_plan is None else BY_DEFAULT
        for day in gap_days(contracts):
            if begin <= day < due.end:
                totals = self.usage.totals(account, meters, day, day + _DAY)
                version = self.usage.versions(account, meters, month_of(day).start, [day])[day]
                for line, row in gap_rows(day, contracts, totals, reason):
                    yield self._row(account, day, line.start, line, row, version)

    def _row(
        self, account: str, period_start: date, segment_start: date, line: Line, row: PartDay, version: int
    ) -> RatedRow:
        return RatedRow(
            *(account, line.plan, line.plan_version, line.price, line.model, line.meter, line.currency),
            *(period_start, segment_start, row.day or segment_start, row.day is None, row.part),
            quantity=row.quantity,
            quantity_total=row.quantity_total,
            amount=row.amount,
            amount_total=row.amount_total,
            unrated_reason=row.reason,
            generation=self._catalogue.generation,
            version=version,
        )


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
