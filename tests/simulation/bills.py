"""A naive account of what is owed: every rated row that there should be, from the recounts of the logs.

Totals, gauge levels, days and differences are counted here in the plainest way; what a total costs is asked of the pure
`rating` package. Nothing of `processors` is used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from config.catalogue import Catalogue
from rating.billing import rate_period
from rating.calendar import BillingPeriod
from rating.contracts import Contract
from rating.numbers import shown
from rating.openings import Opening
from rating.periods import Period, month_of
from rating.plans import Plan
from rating.prices import Price, meters_of, needs_totals, price_amount
from rating.rate import Segment
from rating.states import Level, merged
from rating.totals import Total
from rating.usage import carries, price_usage
from tests.simulation.oracle import Oracle, Sample, State, quantity
from tests.simulation.usage_states import exactly, level_of, state_of

DAY = timedelta(days=1)
_DAY_MS = 86_400_000
_NOTHING = Decimal(0)


class Owed(NamedTuple):
    """A rated row without its version; `amount` None: usage that nothing prices. `total`: of all rows up to it."""

    quantity_total: Decimal
    amount: Decimal | None
    total: Decimal | None
    currency: str


Place = tuple[str, date, date, str, str, str]  # account, period and segment start, price, meter, part
RatedKey = tuple[str, date, date, str, str, str, bool, date]  # the same, opening, day
_Line = tuple[date, str, str, str]  # segment start, price, meter, part
_Sum = tuple[Decimal, Decimal | None, str]  # quantity, amount, currency
_Series = tuple[str, tuple[tuple[str, str], ...]]  # subject, dimensions
_Window = tuple[_Series, int, int]  # series, meter version, start in ms


class Bills:
    """What all accounts owe. `clocks`: of each partition of windows the day that it has come to."""

    def __init__(
        self,
        catalogue: Catalogue,
        oracles: Iterable[Oracle],
        clocks: Mapping[int, date],
        partition_of: Callable[[str], int],
        *,
        named: bool = True,
    ) -> None:
        """`named`: accounts of the catalogue owe what is owed without usage, too."""
        self.catalogue, self.tariff = catalogue, catalogue.tariff()
        self.clocks, self.partition_of, self.named = clocks, partition_of, named
        self.aggregation = {meter.id: meter.aggregation for meter in catalogue.meters}
        self.carried = {meter for meter, kind in self.aggregation.items() if kind == "gauge"}
        self.carried |= {meter for price in self.tariff.prices() if carries(price) for meter in meters_of(price)}
        self.windows: dict[tuple[str, str], dict[_Window, list[State]]] = defaultdict(lambda: defaultdict(list))
        self.tie_breaks: dict[tuple[object, ...], tuple[int, ...]] = {}
        for oracle in oracles:
            self.tie_breaks |= oracle.digests
            for (meter, version, subject, dimensions, start, _), state in oracle.states.items():
                paths = next(m.dimensions for m in catalogue.meters if (m.id, m.version) == (meter, version))
                series = (subject, tuple(zip(paths, dimensions, strict=True)))
                place = (catalogue.account_of(subject, start), meter)
                self.windows[place][(series, version, start)].append(state)
        self.used = {place: {_day(at) for _, _, at in windows} for place, windows in self.windows.items()}

    # -- when

    def today(self, account: str) -> date:
        return self.clocks[self.partition_of(account)]

    def days(self, account: str, meters: Iterable[str], start: date, end: date) -> list[date]:
        """Those with usage; of what is carried every day that has come since the first."""
        found: set[date] = set()
        for meter in meters:
            used = self.used.get((account, meter), set())
            found |= used
            if used and meter in self.carried:
                found |= set(_range(min(used), self.today(account) + DAY))
        return sorted(day for day in found if start <= day < end)

    def months(self, account: str) -> set[Period]:
        """With usage, or with something carried into them."""
        meters = [meter for of, meter in self.used if of == account]
        last = date.max - 60 * DAY
        return {month_of(day) for day in self.days(account, meters, date.min, last)}

    def opened(self) -> dict[str, set[Period]]:
        """Of each account the months that owe anything, be it only what is owed without usage."""
        found = {account: self.months(account) for account in sorted({account for account, _ in self.used})}
        if not self.named:
            return found
        by_partition: dict[int, set[Period]] = defaultdict(set)
        for account, months in found.items():
            by_partition[self.partition_of(account)] |= months
        for account in self.catalogue.account_ids():
            months = found.setdefault(account, set())
            months |= by_partition[self.partition_of(account)]
            if self.today(account) > date.min:
                for contract in self.tariff.contracts_of(account):
                    end = self.today(account) + DAY
                    end = end if contract.to is None else min(end, (contract.to - timedelta.resolution).date() + DAY)
                    months |= {month_of(day) for day in _range(contract.from_.date(), end)}
        return found

    # -- how much

    def totals(self, account: str, meters: Iterable[str], through: date) -> list[Total]:
        """The windows of all time, and gauges window by window through the day before `through`."""
        found = []
        for meter in sorted(meters):
            kind = self.aggregation[meter]
            if kind == "gauge":
                found += self._levels(account, meter, through)
                continue
            for (series, version, start), states in self.windows.get((account, meter), {}).items():
                size = next(m.window_ms for m in self.catalogue.meters if (m.id, m.version) == (meter, version))
                state = state_of(kind, states)
                found.append(Total(meter, start, start + size, state, series[0], dict(series[1]), account))
        return found

    def _levels(self, account: str, meter: str, through: date) -> Iterator[Total]:
        size = min(one.window_ms for one in self.catalogue.meters if one.id == meter)
        samples: dict[_Series, list[Sample]] = defaultdict(list)
        for (series, _, _), states in self.windows.get((account, meter), {}).items():
            samples[series] += [sample for state in states for sample, _ in state.members]
        for (subject, dimensions), held in samples.items():
            ordered = sorted(held, key=lambda one: (one.time_us, self.tie_breaks.get(_name(one), ())))
            readings = [(one.time_us, one.value) for one in ordered]
            for start in range(_ms(_day(readings[0][0] // 1000)), _ms(through), size):
                if self.catalogue.account_of(subject, start + size - 1) != account:
                    continue
                level = level_of(readings, start * 1000, (start + size) * 1000)
                if level is not None:
                    yield Total(meter, start, start + size, level, subject, dict(dimensions), account)

    # -- what is owed

    def rows(self) -> dict[RatedKey, Owed]:
        """Every row: amount(d) = price(total up to d) - price(total before)."""
        found: dict[RatedKey, Owed] = {}
        for account, months in self.opened().items():
            contracts: dict[tuple[BillingPeriod, datetime], Contract] = {}
            for month in months:
                for segment in self.tariff.segments(account, month):
                    if segment.contract is None:
                        found |= self._segment(account, month, segment)
                    else:
                        for period in _periods(segment.contract, segment.start, segment.end):
                            contracts[(period, segment.contract.from_)] = segment.contract
            for (period, _), contract in contracts.items():
                found |= self._period(account, contract, period)
            found |= self._beside(account)
        return found

    def _beside(self, account: str) -> dict[RatedKey, Owed]:
        """On days within which a contract begins or ends: what was used while none held, which nothing prices."""
        contracts = self.tariff.contracts_of(account)
        found: dict[RatedKey, Owed] = {}
        for bound in {bound for one in contracts for bound in (one.from_, one.to) if bound and bound.time() != time()}:
            day = bound.date()
            for meter in sorted({meter for of, meter in self.used if of == account}):
                if not self.days(account, [meter], day, day + DAY):
                    continue
                states = [
                    one.state
                    for one in self.totals(account, [meter], day + DAY)
                    if _ms(day) <= one.start_ms < _ms(day + DAY) and not any(_holds(c, one.start_ms) for c in contracts)
                ]
                if states:
                    used = shown(merged(states).quantity())  # type: ignore[union-attr]
                    found[(account, day, day - DAY, "", meter, "", False, day)] = Owed(used, None, None, "")
        return found

    def _segment(self, account: str, month: Period, segment: Segment) -> dict[RatedKey, Owed]:
        found: dict[RatedKey, Owed] = {}
        plan = segment.plan
        rated: set[str] = set()
        for price in plan.price if plan else ():
            rated |= meters_of(price)
            found |= self._price(account, month, segment, plan, price)
        for meter in sorted({meter for of, meter in self.used if of == account} - rated):
            days = self.days(account, [meter], segment.start, segment.end)
            place = (account, month.start, segment.start, "", meter, "")
            for day in days:
                total = self._plain(account, meter, segment.start, day + DAY)
                found[(*place, False, day)] = Owed(shown(total), None, None, plan.currency if plan else "")
        return found

    def _price(
        self, account: str, month: Period, segment: Segment, plan: Plan | None, price: Price
    ) -> dict[RatedKey, Owed]:
        """The rows of one price, told apart by part."""
        assert plan is not None
        days = self.days(account, meters_of(price), segment.start, segment.end)
        levels = any(self.aggregation[meter] == "gauge" for meter in meters_of(price))
        closer = needs_totals(price) or levels
        totals = self.totals(account, meters_of(price), days[-1] + DAY) if closer and days else []
        within = Period(segment.start, segment.end)

        def sums(through: date) -> dict[_Line, _Sum]:
            if not closer:
                total = self._plain(account, price.meter or "", segment.start, through)
                line = (segment.start, price.id, price.meter or "", "")
                return {line: (shown(total), price_amount(price, total), plan.currency)}
            priced = price_usage(price, totals if through > segment.start else [], within, through, whole=month)
            parts = [(one.values, one.quantity, one.amount) for one in priced.parts]
            parts += [(one.values, one.quantity, None) for one in priced.refused]
            found: dict[_Line, _Sum] = {}
            for values, used, amount in parts:
                names = price.per if amount is not None else values
                line = (segment.start, price.id, price.meter or "", part_of({name: values[name] for name in names}))
                _put(found, line, (shown(used), amount, plan.currency))
            return found

        found = self._differences(account, month.start, sums, segment.start, days)
        if not price.per:  # one opening row, even where a matrix has no part yet
            line = (segment.start, price.id, price.meter or "", "")
            amount = price_usage(price, [], within, segment.start, whole=month).amount
            found[(account, month.start, *line, True, segment.start)] = Owed(_NOTHING, amount, amount, plan.currency)
        return found

    def _period(self, account: str, contract: Contract, period: BillingPeriod) -> dict[RatedKey, Owed]:
        """The rows of a period of a contract that is priced as a whole."""
        first, last = period.start.date(), (period.end - timedelta.resolution).date()
        meters = {meter for of, meter in self.used if of == account}
        held = max(contract.from_.date(), first)
        until = last if contract.to is None else min(last, (contract.to - timedelta.resolution).date())
        days = self.days(account, meters, held, until + DAY)
        totals = self.totals(account, meters, days[-1] + DAY) if days else []
        begin, end = _instant_ms(contract.from_), None if contract.to is None else _instant_ms(contract.to)
        start = _instant_ms(period.start)
        mine = [
            one
            for one in totals
            if (one.start_ms >= max(begin, start) and (end is None or one.start_ms < end))
            or (one.meter in self.carried and one.start_ms < start)
        ]

        def sums(through: date) -> dict[_Line, _Sum]:
            at = period.start if through == first else datetime.combine(through, time(), UTC)
            opening = Opening(max(period.start, contract.from_))
            rated = rate_period(contract, mine if through > first else [], self.tariff, opening, through=at)
            found: dict[_Line, _Sum] = {}
            for one in rated.lines:
                taken_apart = self.tariff.taken_apart_by[one.price]
                part = part_of({name: value for name, value in one.values.items() if name in taken_apart})
                line = (one.start.date(), one.price, one.meter or "", part)
                _put(found, line, (one.quantity, one.amount_unrounded, rated.currency))
            for row in rated.unrated:
                found[(row.start.date(), "", row.meter, part_of(row.values))] = (row.quantity, None, "")
            return found

        return self._differences(account, first, sums, first, days)

    def _differences(
        self, account: str, period_start: date, sums: Callable[[date], dict[_Line, _Sum]], start: date, days: list[date]
    ) -> dict[RatedKey, Owed]:
        found: dict[RatedKey, Owed] = {}
        before = sums(start)
        for line, (_, amount, currency) in before.items():
            found[(account, period_start, *line, True, line[0])] = Owed(_NOTHING, amount, amount, currency)
        for day in days:
            now = sums(day + DAY)
            for line in before.keys() | now.keys():
                used, amount, currency = now.get(line) or (_NOTHING, before[line][1] and _NOTHING, before[line][2])
                was = before[line][1] if line in before else None
                more = None if amount is None else exactly(amount, was or _NOTHING, -1)
                found[(account, period_start, *line, False, day)] = Owed(used, more, amount, currency)
            before = now
        return found

    def _plain(self, account: str, meter: str, start: date, through: date) -> Decimal | Fraction:
        if self.aggregation.get(meter) == "gauge":
            levels = [one for one in self._levels(account, meter, through) if one.start_ms >= _ms(start)]
            areas = [one.state.unit_us for one in levels if isinstance(one.state, Level)]
            return Fraction(sum(map(Fraction, areas), Fraction(0)) / 3_600_000_000)
        held = self.states(account, meter, start, through)
        return quantity(self.aggregation[meter], held) if held else _NOTHING

    def states(self, account: str, meter: str, start: date, end: date) -> list[State]:
        """What a meter counted on the days [start, end), window by window."""
        windows = self.windows.get((account, meter), {}).items()
        return [state for (_, _, at), states in windows if _ms(start) <= at < _ms(end) for state in states]


def part_of(values: Mapping[str, str]) -> str:
    """As it stands in a row: "" for all pooled."""
    return msgspec.json.encode(dict(sorted(values.items()))).decode() if values else ""


def _put(found: dict[_Line, _Sum], line: _Line, more: _Sum) -> None:
    used, amount, _ = found.get(line, (_NOTHING, _NOTHING, ""))
    total = None if more[1] is None else exactly(more[1], amount or _NOTHING)
    found[line] = (exactly(used, more[0]), total, more[2])


def _periods(contract: Contract, start: date, end: date) -> Iterator[BillingPeriod]:
    """The billing periods with a moment on these days."""
    at, until = datetime.combine(start, time(), UTC), datetime.combine(end, time(), UTC)
    at, until = max(at, contract.from_), until if contract.to is None else min(until, contract.to)
    while at < until:
        period = contract.calendar.period_of(at)
        yield period
        at = period.end


def _holds(contract: Contract, at_ms: int) -> bool:
    return _instant_ms(contract.from_) <= at_ms and (contract.to is None or at_ms < _instant_ms(contract.to))


def _name(sample: Sample) -> tuple[object, ...]:
    """What the recount calls a sample's digest by."""
    return sample.identity[::3] if "number" in sample.identity else sample.identity


def _range(start: date, end: date) -> Iterator[date]:
    while start < end:
        yield start
        start += DAY


def _ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _DAY_MS


def _instant_ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _day(at_ms: int) -> date:
    return date(1970, 1, 1) + timedelta(days=at_ms // _DAY_MS)
