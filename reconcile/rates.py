"""What the recounted usage of each account costs, day by day."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from config.catalogue import Catalogue, Meter
from rating import states as forms
from rating.gauges import Reading, levels
from rating.numbers import EXACT, ZERO, Quantity, shown
from rating.periods import Period, month_of
from rating.prices import Combine, Price, meters_of, needs_totals
from rating.rate import Segment
from rating.rollups import period_quantity
from rating.totals import DAY_MS, Total, day_ms
from rating.usage import Priced, carries, price_usage
from reconcile.contract_rates import contract_rows, days_held, unheld_rows, whole_periods
from reconcile.owed import Owed, RatedKey, part_text, said
from reconcile.recount import WindowKey
from reconcile.states import State

_DAY: Final = timedelta(days=1)
_LOW: Final = 2**64 - 1

Days = set[tuple[date, date]]  # (start of a segment, day)


class _Counted(NamedTuple):
    """A meter as it is, without a price."""

    meter: str | None
    combine: Combine | None = None


class Rates:
    """Recounted usage by account, of all partitions together, and what it costs.

    Every price is asked for each day's cumulative amount by way of `price_usage`, with all windows at hand: slower than
    the processors, which merge by day where they can, and so another way to the same rows.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue, self._tariff = catalogue, catalogue.tariff()
        self._meters: dict[tuple[str, int], Meter] = {(one.id, one.version): one for one in catalogue.meters}
        self._gauges = {one.id for one in catalogue.meters if one.aggregation == "gauge"}
        self._windows_ms = {one.id: one.window_ms for one in sorted(catalogue.meters, key=lambda one: -one.window_ms)}
        self._whole = self._tariff.accounts_priced_whole()  # a day of theirs may lie in two periods
        prices = list(self._tariff.prices())
        # A day's merged state is not enough for the prices of these.
        self._closer = set[str]().union(*(meters_of(price) for price in prices if needs_totals(price)))
        self._carried = self._gauges.union(*(meters_of(price) for price in prices if carries(price)))
        self._totals: dict[tuple[str, str], list[Total]] = {}  # of those, window by window, by (account, meter)
        self._merged: dict[tuple[str, str], dict[date, forms.State]] = {}  # of other meters, by day
        self._members: dict[tuple[str, str], dict[date, set[int]]] = {}  # of their unique ones
        self._readings: dict[tuple[str, str], dict[tuple[str, ...], set[Reading]]] = {}
        self._named: dict[tuple[str, str], tuple[str, ...]] = {}  # gauge's dimensions, by (account, meter)
        self._days: dict[str, dict[str, set[date]]] = {}  # account -> meter -> days with usage

    def take(self, key: WindowKey, state: State) -> None:
        """A partial that nothing will change any more."""
        meter = self._meters[key[:2]]
        series, start = key[2], key[3]
        account = self._catalogue.account_of(series[0], start)
        day = datetime.fromtimestamp(start // 1000, UTC).date()
        self._days.setdefault(account, {}).setdefault(meter.id, set()).add(day)
        if meter.aggregation == "gauge":
            self._named[(account, meter.id)] = meter.dimensions
            readings = self._readings.setdefault((account, meter.id), {}).setdefault(series, set())
            for one in (state.samples or {}).values():
                readings.add(Reading(one.time_us, one.identity >> 64, one.identity & _LOW, _unscaled(one.value, meter)))
            return
        place = (account, meter.id)
        if meter.id in self._closer or account in self._whole:
            dimensions = dict(zip(meter.dimensions, series[1:], strict=True))
            total = Total(meter.id, start, start + meter.window_ms, _form(meter, state), series[0], dimensions, account)
            self._totals.setdefault(place, []).append(total)
        elif meter.aggregation == "unique":
            self._members.setdefault(place, {}).setdefault(day, set()).update(state.members or ())
        else:
            days, form = self._merged.setdefault(place, {}), _form(meter, state)
            days[day] = days[day].merge(form) if day in days else form  # type: ignore[arg-type]

    def places(self) -> set[tuple[str, Period]]:
        """(account, billing period) of all usage."""
        return {
            (account, month_of(day))
            for account, meters in self._days.items()
            for days in meters.values()
            for day in days
        }

    def expected(self, account: str, period: Period, there: Collection[RatedKey]) -> dict[RatedKey, dict[str, Any]]:
        """The rows that an account must have of billing periods that begin in a month. `there`: those it has; on which
        days there are rows of what goes on while nothing happens (gauges, carried values) depends on the day at which
        it was last rated."""
        rated = [key for key in there if not key.opening]
        carried_on = {(key.segment_start, key.day) for key in rated}
        found: dict[RatedKey, dict[str, Any]] = {}
        for contract, billing in whole_periods(self._tariff, account, period):
            carried = {key.day for key in rated if key.period_start == billing.start.date()}
            days = self._held(account, *days_held(contract, billing), carried)
            totals = self._all(account, self._days.get(account, {}).keys(), days[-1] + _DAY) if days else []
            found.update(contract_rows(self._tariff, contract, billing, totals, days))
        if account in self._whole:
            days = self._held(account, period.start, period.end - _DAY, {key.day for key in rated})
            totals = self._all(account, self._days.get(account, {}).keys(), days[-1] + _DAY) if days else []
            found.update(unheld_rows(self._tariff, account, period, totals, {*days}))
        for segment in self._tariff.segments(account, period):
            if segment.contract is not None:
                continue
            priced: set[str] = set()
            for price in segment.plan.price if segment.plan else ():
                priced |= meters_of(price)
                days = self._used(account, meters_of(price), segment, carries(price), carried_on)
                about = period.start, segment.start, price.id, price.meter or ""
                for (opening, day, part), row in self._priced(account, price, period, segment, days):
                    found[RatedKey(*about, opening, day, part)] = row
            for meter in sorted(self._days.get(account, {}).keys() - priced):
                days = self._used(account, {meter}, segment, False, carried_on)
                before = ZERO
                for day, quantity in zip(days, self._quantities(account, meter, days), strict=True):
                    now = shown(quantity)
                    key = RatedKey(period.start, segment.start, "", meter, False, day, "")
                    found[key] = {"quantity": EXACT.subtract(now, before), "quantity_total": now, "amount": None}
                    before = now
        return found

    def _held(self, account: str, first: date, last: date, carried: set[date]) -> list[date]:
        """Days of a contract's period with usage of any meter, or on which something was carried on."""
        meters = self._days.get(account, {})
        begun = min((min(meters[meter]) for meter in meters.keys() & self._carried), default=date.max)
        days = {day for used in meters.values() for day in used} | {day for day in carried if day >= begun}
        return sorted(day for day in days if first <= day <= last)

    def _used(
        self, account: str, meters: Iterable[str], segment: Segment, carried: bool, carried_on: Days
    ) -> list[date]:
        days: set[date] = set()
        for meter in meters:
            used = self._days.get(account, {}).get(meter, set())
            days |= {day for day in used if segment.start <= day < segment.end}
            if used and (carried or meter in self._gauges):
                first = max(segment.start, min(used))
                days |= {day for start, day in carried_on if start == segment.start and first <= day < segment.end}
        return sorted(days)

    def _priced(
        self, account: str, price: Price, period: Period, segment: Segment, days: list[date]
    ) -> Iterator[tuple[tuple[bool, date, str], dict[str, Any]]]:
        span = Period(segment.start, segment.end)
        opening = price_usage(price, [], span, segment.start, whole=period)
        before = _parts(price, opening)
        if not price.per:  # one row, also where a matrix has no part yet
            yield (True, segment.start, ""), said((ZERO, ZERO), (ZERO, opening.amount))
        totals = self._all(account, meters_of(price), days[-1] + _DAY) if days else []
        for day in days:
            now = _parts(price, price_usage(price, totals, span, day + _DAY, whole=period))
            for part in {*before, *now}:
                yield (False, day, part), said(before.get(part, (ZERO, ZERO)), now.get(part, (ZERO, ZERO)))
            before = now

    def _quantities(self, account: str, meter: str, days: list[date]) -> list[Quantity]:
        if not days:
            return []
        totals = self._all(account, {meter}, days[-1] + _DAY)
        start = day_ms(days[0])
        return [period_quantity(_Counted(meter), totals, start, day_ms(day + _DAY)) for day in days]

    def _all(self, account: str, meters: Collection[str], through: date) -> list[Total]:
        """All totals of the account, those of gauges window by window or by day, up to the one before `through`."""
        found: list[Total] = []
        for meter in sorted(meters):
            found += self._totals.get((account, meter), [])
            found += [_day_total(meter, day, form) for day, form in self._merged.get((account, meter), {}).items()]
            for day, members in self._members.get((account, meter), {}).items():
                found.append(_day_total(meter, day, forms.Members(frozenset(members))))  # type: ignore[arg-type]
            for series, readings in self._readings.get((account, meter), {}).items():
                dimensions = dict(zip(self._named[(account, meter)], series[1:], strict=True))
                size = self._windows_ms[meter] if account in self._whole else DAY_MS
                first = min(readings).time_us // 1000 // DAY_MS * DAY_MS
                for start, level in levels(readings, size, first, day_ms(through)):
                    if self._catalogue.account_of(series[0], start + size - 1) == account:
                        found.append(Total(meter, start, start + size, level, series[0], dimensions, account))
        return found


def _parts(price: Price, priced: Priced) -> dict[str, Owed]:
    """By the values of the dimensions that the price is taken apart by; the cells of a matrix are added up."""
    found: dict[str, Owed] = {}
    for one in priced.parts:
        part = part_text({name: one.values[name] for name in price.per})
        quantity, amount = found.get(part, (ZERO, ZERO))
        found[part] = (EXACT.add(quantity, shown(one.quantity)), EXACT.add(amount or ZERO, one.amount))
    for refused in priced.refused:
        found[part_text(dict(refused.values))] = (shown(refused.quantity), None)
    return found


def _unscaled(value: int, meter: Meter) -> Decimal:
    return EXACT.scaleb(Decimal(value), -meter.precision)


def _day_total(meter: str, day: date, form: forms.State) -> Total:
    return Total(meter, day_ms(day), day_ms(day) + DAY_MS, form)


def _form(meter: Meter, state: State) -> forms.State:
    value = _unscaled(state.value, meter)
    match meter.aggregation:
        case "sum":
            return forms.Sum(_unscaled(state.sum, meter))
        case "count":
            return forms.Count(state.events)
        case "avg":
            return forms.Mean(_unscaled(state.sum, meter), state.events)
        case "min":
            return forms.Low(value)
        case "max":
            return forms.High(value)
        case "latest":
            return forms.Latest(state.time_us, state.identity >> 64, state.identity & _LOW, value)
        case "unique":
            return forms.Members(frozenset(state.members or ()))  # type: ignore[arg-type] # any hashable will do
    raise ValueError(f"{meter.aggregation} is none of the aggregations that have one state")
