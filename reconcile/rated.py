"""Rates the recounted usage anew with the pure `rating` package, and compares with `rated_usage`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from config.catalogue import Catalogue, Meter
from rating.days import rate_days
from rating.numbers import EXACT, Quantity, shown
from rating.periods import Period, month_of
from rating.rate import Segment
from reconcile.differences import Difference, Outcome, differing
from reconcile.recount import WindowKey
from reconcile.states import State
from sinks.reading import rows

_DIGITS: Final = 12  # every state is brought to so many decimals, so that versions of a meter add up
_ZERO: Final = Decimal(0)


class RatedKey(NamedTuple):
    """What a rated row is about, within an account and period."""

    segment_start: date
    price: str
    meter: str
    opening: bool
    day: date


class _Day:
    """The merged state of one account and meter on one day."""

    __slots__ = ("events", "highest", "latest", "lowest", "members", "sum")

    def __init__(self) -> None:
        self.events = self.sum = 0
        self.lowest: int | None = None
        self.highest: int | None = None
        self.latest: tuple[int, int, int] | None = None  # time, identity, value
        self.members: set[int] = set()

    def add(self, meter: Meter, state: State) -> None:
        unit = 10 ** (_DIGITS - meter.precision)
        self.events += state.events
        self.sum += state.sum * unit
        value = state.value * unit
        if meter.aggregation == "min":
            self.lowest = value if self.lowest is None else min(self.lowest, value)
        elif meter.aggregation == "max":
            self.highest = value if self.highest is None else max(self.highest, value)
        elif meter.aggregation == "latest":
            newest = (state.time_us, state.identity, value)
            self.latest = newest if self.latest is None else max(self.latest, newest)
        self.members.update(state.members or ())

    def merge(self, other: _Day) -> None:
        self.events += other.events
        self.sum += other.sum
        self.lowest = min((one for one in (self.lowest, other.lowest) if one is not None), default=None)
        self.highest = max((one for one in (self.highest, other.highest) if one is not None), default=None)
        self.latest = max((one for one in (self.latest, other.latest) if one is not None), default=None)
        self.members |= other.members

    def quantity(self, aggregation: str) -> Quantity:
        if aggregation == "count":
            return Decimal(self.events)
        if aggregation == "unique":
            return Decimal(len(self.members))
        if aggregation == "avg":
            return Fraction(self.sum, self.events * 10**_DIGITS)
        latest = self.latest[2] if self.latest else None
        held = {"sum": self.sum, "min": self.lowest, "max": self.highest, "latest": latest}[aggregation]
        return EXACT.scaleb(Decimal(held or 0), -_DIGITS)


class Rates:
    """Recounted usage by account, meter and day, of all partitions together."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._meters = {(one.id, one.version): one for one in catalogue.meters}
        self._aggregation = {one.id: one.aggregation for one in catalogue.meters}
        self._days: dict[tuple[str, Period], dict[str, dict[date, _Day]]] = {}  # (account, month) -> meter -> day

    def take(self, key: WindowKey, state: State) -> None:
        """A partial that nothing will change any more."""
        meter_id, version, series, start = key
        day = datetime.fromtimestamp(start // 1000, UTC).date()
        account = self._catalogue.account_of(series[0], start)
        days = self._days.setdefault((account, month_of(day)), {}).setdefault(meter_id, {})
        days.setdefault(day, _Day()).add(self._meters[(meter_id, version)], state)

    def expected(self, account: str, period: Period) -> dict[RatedKey, dict[str, Any]]:
        """The rows that an account with usage in the period must have."""
        found: dict[RatedKey, dict[str, Any]] = {}
        meters = self._days.get((account, period), {})
        for segment in self._catalogue.tariff().segments(account, period):
            totals = {meter: list(self._totals(meter, days, segment)) for meter, days in meters.items()}
            priced = set()
            for price in segment.plan.price if segment.plan else ():
                priced.add(price.meter)
                for row in rate_days(price, totals.get(price.meter or "", [])):
                    day = row.day or segment.start
                    found[RatedKey(segment.start, price.id, price.meter or "", row.day is None, day)] = {
                        "quantity": row.quantity,
                        "quantity_total": row.quantity_total,
                        "amount": row.amount,
                    }
            for meter in totals.keys() - priced:
                before = _ZERO
                for day, total in totals[meter]:
                    now = shown(total)
                    found[RatedKey(segment.start, "", meter, False, day)] = {
                        "quantity": now - before,
                        "quantity_total": now,
                        "amount": None,
                    }
                    before = now
        return found

    def _totals(self, meter: str, days: dict[date, _Day], segment: Segment) -> Iterator[tuple[date, Quantity]]:
        running = _Day()
        for day in sorted(day for day in days if segment.start <= day < segment.end):
            running.merge(days[day])
            yield day, running.quantity(self._aggregation[meter])

    def compare(self, client: Client, outcome: Outcome, since: date) -> None:
        """Every rated row of billing periods that start at `since` or later."""
        stored: dict[tuple[str, Period], dict[RatedKey, dict[str, Any]]] = {}
        for row in _stored(client, since):
            key = RatedKey(row["segment_start"], row["price"], row["meter"], bool(row["opening"]), row["day"])
            said = {name: row[name] for name in ("quantity", "quantity_total", "amount")}
            stored.setdefault((row["account"], month_of(row["period_start"])), {})[key] = said
        for account, period in sorted({*stored, *(at for at in self._days if at[1].start >= since)}):
            found = stored.get((account, period), {})
            expected = self.expected(account, period)
            for key in sorted({*found, *expected}):
                outcome.compared["rated"] += 1
                wanted, there = expected.get(key), found.get(key)
                if wanted == there or _may_differ(key, wanted, there, (account, period) in self._days):
                    continue
                mine, theirs = differing(wanted, there) if wanted and there else (wanted, there)
                what = "a rated row differs" if wanted and there else "a rated row is missing" if wanted else _EXTRA
                _differ(outcome, what, account, period, key, mine, theirs)


_EXTRA = "a rated row that the usage does not give"


def _may_differ(key: RatedKey, wanted: dict[str, Any] | None, there: dict[str, Any] | None, used: bool) -> bool:
    """A row that a re-rate took back says zero; accounts without usage may have their opening rows, or not yet."""
    if wanted is None and there is not None:
        return not any(there.values()) and there["amount"] is not None
    return there is None and key.opening and not used


def _stored(client: Client, since: date) -> Iterator[dict[str, Any]]:
    query = "SELECT min(period_start) AS first, max(period_start) AS last, count() AS found FROM rated_usage"
    bounds = rows(client, query, {})[0]
    first = max(since, bounds["first"])
    while bounds["found"] and first <= bounds["last"]:  # a month at a time keeps each answer small
        after = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
        query = """SELECT account, period_start, segment_start, price, meter, opening, day, quantity, quantity_total,
            amount FROM rated_usage WHERE period_start >= {first:Date32} AND period_start < {after:Date32}"""
        yield from rows(client, query, {"first": first, "after": after})
        first = after


def _differ(outcome: Outcome, what: str, account: str, period: Period, key: RatedKey, mine: Any, theirs: Any) -> None:
    place = {"period_start": str(period.start), **{name: str(value) for name, value in key._asdict().items()}}
    outcome.differ(
        Difference(place="rated", what=what, account=account, meter=key.meter, row=place, expected=mine, found=theirs)
    )
