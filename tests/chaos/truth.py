"""What the traffic must come to, counted as it is made: bounded by series and hours, not by events.

Shares nothing with `processors` and `rating` but the catalogue's structs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from config.catalogue import Catalogue, EventType, Meter
from rating.contracts import Account, Contract
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Tier
from tests.integration.pipeline_truth import COUNTS, Owed, half_up, owed
from tests.integration.pipeline_truth import Truth as Naive

HOUR = timedelta(hours=1)
LATENESS = 2 * HOUR
SUBJECTS = 6
ZONES = ("ams", "fra")

CATALOGUE = Catalogue(
    default_plan="free",
    events=tuple(EventType(name, int(LATENESS.total_seconds() * 1000)) for name in ("call", "seat")),
    meters=(
        Meter("calls", 1, "call", "count", dimensions=("zone",)),
        Meter("bytes", 1, "call", "sum", "bytes", precision=3, window="15m"),
        Meter("peak", 1, "call", "max", "ms"),
        Meter("seats", 1, "seat", "unique", "user", window="1d"),
        Meter("level", 1, "seat", "latest", "level"),
    ),
    plans=(
        Plan(id="free", version=1, currency="USD", price=(PerUnit(id="calls", meter="calls", unit_amount="0.01"),)),
        Plan(
            id="pro",
            version=1,
            currency="USD",
            price=(
                Flat(id="base", amount="20.00"),
                Graduated(
                    id="calls",
                    meter="calls",
                    tiers=(Tier(up_to="1000", unit_amount="0"), Tier(unit_amount="0.003", flat_amount="0.5")),
                ),
                Package(id="bytes", meter="bytes", package_size="1000", amount="0.045"),
                PerUnit(id="seats", meter="seats", unit_amount="1.25"),
                PerUnit(id="peak", meter="peak", unit_amount="0.001"),
                PerUnit(id="level", meter="level", unit_amount="0.07"),
            ),
        ),
    ),
    accounts=(Account(id="acme", subjects=("s-0", "s-1")), Account(id="globex", subjects=("s-2",))),
    contracts=(
        Contract(account="acme", plan="pro", from_=datetime(2026, 1, 1, tzinfo=UTC), to=None),
        Contract(account="globex", plan="pro", from_=datetime(2026, 4, 1, tzinfo=UTC), to=None),
    ),
)


class State:
    """The mergeable state of a meter in a span of time, of every aggregation at once."""

    __slots__ = ("events", "last", "members", "top", "total")

    def __init__(self) -> None:
        self.events, self.total = 0, Fraction(0)
        self.top: int | None = None
        self.members: set[str] = set()
        self.last: tuple[datetime, int] | None = None

    def add(self, aggregation: str, value: Any, time: datetime) -> None:
        self.events += 1
        if aggregation == "sum":
            self.total += Fraction(value)
        elif aggregation == "max":
            self.top = value if self.top is None else max(self.top, value)
        elif aggregation == "unique":
            self.members.add(value)
        elif aggregation == "latest":
            self.last = max(self.last or (time, value), (time, value))

    def merge(self, other: State) -> State:
        made = State()
        made.events, made.total = self.events + other.events, self.total + other.total
        made.top = max((one for one in (self.top, other.top) if one is not None), default=None)
        made.members = self.members | other.members
        made.last = max((one for one in (self.last, other.last) if one is not None), default=None)
        return made

    def quantity(self, aggregation: str) -> Fraction:
        found: dict[str, Any] = {
            "count": self.events,
            "sum": self.total,
            "max": self.top,
            "unique": len(self.members),
            "latest": self.last and self.last[1],
        }
        return Fraction(found[aggregation] or 0)


Series = tuple[str, ...]  # subject, and the dimensions in the meter's order


class Truth:
    """All events so far. Not safe for threads: pause the traffic before reading more than `consumed`."""

    def __init__(self, catalogue: Catalogue = CATALOGUE) -> None:
        self.catalogue = catalogue
        self._rules = Naive(catalogue, [])  # for who pays, and by which plan
        self.counts: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
        self.consumed = self._added_up = 0
        self._by_day: dict[tuple[str, str], dict[date, State]] = {}
        self._clock: dict[int, datetime] = {}
        self._seen: set[int] = set()
        self._states: dict[str, dict[tuple[Series, datetime], State]] = {one.id: {} for one in catalogue.meters}

    def add(self, partition: int, at: datetime, events: Iterable[tuple[int, datetime, dict[str, Any] | None]]) -> None:
        """A message: number, time and content of each event. One without content must be refused."""
        clock = self._clock[partition] = max(self._clock.get(partition, at), at)
        for number, time, event in events:
            self.counts[partition][self._verdict(clock, number, time, event)] += 1
            self.consumed += 1

    def _verdict(self, clock: datetime, number: int, time: datetime, event: dict[str, Any] | None) -> str:
        if event is None:
            return "invalid"
        meters = [one for one in self.catalogue.meters if one.event_type == event["type"]]
        if not meters:
            return "unmetered"
        if time < clock - LATENESS:
            return "late"
        if number in self._seen:
            return "duplicate"
        self._seen.add(number)
        for meter in meters:
            span = (time.hour, 0) if meter.window != "1d" else (0, 0)
            start = time.replace(hour=span[0], minute=span[1], second=0, microsecond=0)
            series = (event["subject"], *(event["data"][path] for path in meter.dimensions))
            value = event["data"].get(meter.value)
            self._states[meter.id].setdefault((series, start), State()).add(meter.aggregation, value, time)
        return "accepted"

    def usage(self, meter: Meter) -> dict[tuple[Any, ...], tuple[Decimal, int]]:
        """(subject, *dimensions, window start) -> (quantity, events)."""
        return {
            (*series, start): (half_up(state.quantity(meter.aggregation), 12), state.events)
            for (series, start), state in self._states[meter.id].items()
        }

    # -- money

    def accounts(self) -> list[str]:
        return sorted({self._rules.account(series[0]) for found in self._states.values() for series, _ in found})

    def months(self) -> list[date]:
        return sorted({start.date().replace(day=1) for found in self._states.values() for _, start in found})

    def _days(self, meter: str, account: str, first: date, end: date) -> dict[date, State]:
        """Of each day with usage the state from `first` through that day."""
        days, through = self._daily().get((meter, account), {}), State()
        return {day: (through := through.merge(days[day])) for day in sorted(days) if first <= day < end}

    def _daily(self) -> dict[tuple[str, str], dict[date, State]]:
        """(meter, account) -> the state of each day, kept until there are more events."""
        if self._added_up != self.consumed:
            self._added_up, self._by_day = self.consumed, {}
            for meter, found in self._states.items():
                for (series, start), state in found.items():
                    days = self._by_day.setdefault((meter, self._rules.account(series[0])), {})
                    days[start.date()] = days.get(start.date(), State()).merge(state)
        return self._by_day

    def rated(self) -> tuple[dict[Owed, Decimal], dict[Owed, Decimal]]:
        """Amounts other than zero by row, and quantities of days that no price rates."""
        amounts: dict[Owed, Decimal] = {}
        unrated: dict[Owed, Decimal] = {}
        kinds = {one.id: one.aggregation for one in self.catalogue.meters}
        named = {one.id for one in self.catalogue.accounts}
        for account in self.accounts():
            for month in self.months():
                after = (month + timedelta(days=32)).replace(day=1)
                opened = account in named or any(self._days(name, account, month, after) for name in kinds)
                for start, end, plan in self._rules.segments(account, month):
                    priced = set()
                    for price in plan.price if opened else ():
                        name = price.meter or ""
                        priced.add(name)
                        before = amounts[Owed(account, start, price.id, name, True, start)] = owed(price, None)
                        for day, state in self._days(name, account, start, end).items() if name else ():
                            now = owed(price, state.quantity(kinds[name]))
                            amounts[Owed(account, start, price.id, name, False, day)] = now - before
                            before = now
                    for name in kinds.keys() - priced:
                        total = Decimal(0)
                        for day, state in self._days(name, account, start, end).items():
                            through = half_up(state.quantity(kinds[name]), 12)
                            unrated[Owed(account, start, "", name, False, day)] = through - total
                            total = through
        return {key: amount for key, amount in amounts.items() if amount}, unrated

    def invoice(self, account: str, month: date) -> dict[tuple[date, str], tuple[Decimal, Decimal]]:
        """(segment start, price) -> (quantity, rounded amount)."""
        kinds = {one.id: one.aggregation for one in self.catalogue.meters}
        lines = {}
        for start, end, plan in self._rules.segments(account, month):
            for price in plan.price:
                days = self._days(price.meter, account, start, end) if price.meter else {}
                total = list(days.values())[-1].quantity(kinds[price.meter]) if days else Fraction(0)
                amount = half_up(Fraction(owed(price, total if days else None)), 2)
                lines[(start, price.id)] = (half_up(total, 12), amount)
        return lines
