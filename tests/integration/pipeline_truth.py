"""What a pipeline must come to, recounted the plain way: one event at a time, with dicts and fractions.

Shares nothing with `processors` and `rating` but the catalogue's structs. Latest values need distinct times.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from config.catalogue import WINDOW_MS, Catalogue, Meter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTS = ("accepted", "duplicate", "late", "invalid", "unmetered")


class Sent(NamedTuple):
    """A message as it was sent: its events in order, None for one that must be refused."""

    partition: int
    at_ms: int
    value: bytes | None
    events: list[dict[str, Any] | None]


class Fact(NamedTuple):
    """What one event meant to one meter."""

    subject: str
    dims: tuple[str, ...]
    time: datetime
    value: Fraction | str | None


class Owed(NamedTuple):
    """The key of a rated row, as far as it can differ."""

    account: str
    segment_start: date
    price: str
    meter: str
    opening: bool
    day: date


def single(event: Mapping[str, Any], packed: bool = False) -> bytes:
    return msgspec.msgpack.encode(event) if packed else msgspec.json.encode(event)


def moment(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])


def look(data: Mapping[str, Any], path: str) -> Any:
    found: Any = data
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def text(value: Any) -> str:
    """A dimension's value as a meter sees it."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def half_up(value: Fraction, digits: int) -> Decimal:
    """Half away from zero."""
    scaled = abs(value) * 10**digits
    whole = math.floor(scaled + Fraction(1, 2))
    return Decimal(whole if value >= 0 else -whole).scaleb(-digits)


class Truth:
    """All that a log of messages comes to under a catalogue."""

    def __init__(self, catalogue: Catalogue, log: Iterable[Sent]) -> None:
        self.catalogue = catalogue
        self.ledger = dict.fromkeys(COUNTS, 0)
        self.facts: dict[str, list[Fact]] = defaultdict(list)  # meter id -> accepted events
        self.late: list[tuple[int, dict[str, Any]]] = []  # partition, event
        self._clock: dict[int, int] = {}
        self._seen: set[tuple[object, ...]] = set()
        for sent in log:
            clock = self._clock[sent.partition] = max(self._clock.get(sent.partition, 0), sent.at_ms)
            for event in sent.events:
                self.ledger[self._verdict(sent.partition, clock, event)] += 1

    @property
    def consumed(self) -> int:
        return sum(self.ledger.values())

    def _verdict(self, partition: int, clock_ms: int, event: dict[str, Any] | None) -> str:
        if event is None:
            return "invalid"
        when = moment(event)
        facts = [(meter, fact) for meter in self.catalogue.meters if (fact := self._fact(meter, event, when))]
        if not facts:
            return "unmetered"
        lateness = next(one.lateness_ms for one in self.catalogue.events if one.type == event["type"])
        if when < EPOCH + timedelta(milliseconds=clock_ms - lateness):
            self.late.append((partition, event))
            return "late"
        return self._counted(partition, event, when, facts)

    def _counted(self, partition: int, event: dict[str, Any], when: datetime, facts: list[tuple[Meter, Fact]]) -> str:
        identity: tuple[object, ...] = (partition, event["source"], event["id"], when)
        if event.get("sequencetype") == "tollstream":
            identity = (partition, event["source"], int(event["sequence"]), when.date())
        if identity in self._seen:
            return "duplicate"
        self._seen.add(identity)
        for meter, fact in facts:
            self.facts[meter.id].append(fact)
        return "accepted"

    def admit(self, partition: int, event: dict[str, Any]) -> str:
        """It comes back: lateness does not apply any more."""
        when = moment(event)
        facts = [(meter, fact) for meter in self.catalogue.meters if (fact := self._fact(meter, event, when))]
        verdict = self._counted(partition, event, when, facts)
        self.ledger[verdict] += 1
        return verdict

    @staticmethod
    def _fact(meter: Meter, event: dict[str, Any], when: datetime) -> Fact | None:
        data = event["data"]
        if meter.event_type != event["type"]:
            return None
        if any(text(look(data, path)) not in allowed for path, allowed in meter.filter.items()):
            return None
        value = None if meter.value is None else look(data, meter.value)
        if meter.aggregation == "unique":
            if value is None:
                return None
        elif meter.value is not None:
            value = Fraction(str(value))
        return Fact(event["subject"], tuple(text(look(data, path)) for path in meter.dimensions), when, value)

    # -- usage

    def usage(self, meter: Meter) -> dict[tuple[Any, ...], tuple[Decimal, int]]:
        """(subject, *dimensions, window start) -> (quantity, events)."""
        groups: dict[tuple[Any, ...], list[Fact]] = defaultdict(list)
        size = timedelta(milliseconds=max(WINDOW_MS[meter.window], 3_600_000))
        for fact in self.facts[meter.id]:
            groups[(fact.subject, *fact.dims, EPOCH + (fact.time - EPOCH) // size * size)].append(fact)
        return {key: (half_up(quantity(meter, facts), 12), len(facts)) for key, facts in groups.items()}

    # -- money

    def account(self, subject: str) -> str:
        return next((one.id for one in self.catalogue.accounts if subject in one.subjects), subject)

    def accounts(self) -> set[str]:
        return {self.account(fact.subject) for facts in self.facts.values() for fact in facts}

    def months(self) -> set[date]:
        return {fact.time.date().replace(day=1) for facts in self.facts.values() for fact in facts}

    def segments(self, account: str, month: date) -> list[tuple[date, date, Any]]:
        """(start, end, plan or None) of a month, in order."""
        after = (month + timedelta(days=32)).replace(day=1)
        plans = {plan.id: plan for plan in sorted(self.catalogue.plans, key=lambda plan: plan.version)}
        default = plans.get(self.catalogue.default_plan or "")
        found, at = [], month
        for contract in sorted(self.catalogue.contracts, key=lambda contract: contract.from_):
            start = max(contract.from_.date(), month)
            end = after if contract.to is None else min(contract.to.date(), after)
            if contract.account == account and start < end:
                found += [(at, start, default)] if at < start else []
                found.append((start, end, plans[contract.plan]))
                at = end
        return found + ([(at, after, default)] if at < after else [])

    def _of(self, meter: str, account: str, start: date, end: date) -> list[Fact]:
        return [
            fact
            for fact in self.facts[meter]
            if self.account(fact.subject) == account and start <= fact.time.date() < end
        ]

    def rated(self) -> tuple[dict[Owed, Decimal], dict[Owed, Decimal]]:
        """Amounts other than zero by row, and quantities of days that no price rates. Accounts
        that the catalogue names must have usage of their own somewhere."""
        amounts: dict[Owed, Decimal] = {}
        unrated: dict[Owed, Decimal] = {}
        named = {one.id for one in self.catalogue.accounts} | {one.account for one in self.catalogue.contracts}
        meters = {meter.id: meter for meter in self.catalogue.meters}
        for account in self.accounts():
            for month in self.months():
                after = (month + timedelta(days=32)).replace(day=1)
                opened = account in named or any(self._of(name, account, month, after) for name in meters)
                for start, end, plan in self.segments(account, month):
                    used = {name: facts for name in meters if (facts := self._of(name, account, start, end))}
                    priced = set()
                    for price in plan.price if plan else ():
                        priced.add(price.meter)
                        if opened:
                            amounts[Owed(account, start, price.id, price.meter or "", True, start)] = owed(price, None)
                        before = owed(price, None)
                        facts = used.get(price.meter or "", [])
                        for day in sorted({fact.time.date() for fact in facts}):
                            total = quantity(meters[price.meter], [one for one in facts if one.time.date() <= day])
                            now = owed(price, total)
                            amounts[Owed(account, start, price.id, price.meter, False, day)] = now - before
                            before = now
                    for name in used.keys() - priced:
                        before = Decimal(0)
                        for day in sorted({fact.time.date() for fact in used[name]}):
                            facts = [one for one in used[name] if one.time.date() <= day]
                            total = half_up(quantity(meters[name], facts), 12)
                            unrated[Owed(account, start, "", name, False, day)] = total - before
                            before = total
        return {key: amount for key, amount in amounts.items() if amount}, unrated

    def invoice(self, account: str, month: date, digits: int = 2) -> dict[tuple[date, str], tuple[Decimal, Decimal]]:
        """(segment start, price) -> (quantity, rounded amount)."""
        meters = {meter.id: meter for meter in self.catalogue.meters}
        lines = {}
        for start, end, plan in self.segments(account, month):
            for price in plan.price if plan else ():
                facts = self._of(price.meter or "", account, start, end)
                total = quantity(meters[price.meter], facts) if facts else Fraction(0)
                amount = half_up(Fraction(owed(price, total if facts else None)), digits)
                lines[(start, price.id)] = (half_up(total, 12), amount)
        return lines


def quantity(meter: Meter, facts: list[Fact]) -> Fraction:
    values: list[Any] = [fact.value for fact in facts]
    match meter.aggregation:
        case "count":
            return Fraction(len(facts))
        case "unique":
            return Fraction(len(set(values)))
        case "sum":
            return sum(values, Fraction(0))
        case "avg":
            return sum(values, Fraction(0)) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
    return max(facts, key=lambda fact: fact.time).value  # type: ignore[return-value]


def owed(price: Any, total: Fraction | None) -> Decimal:
    """The price of a cumulative quantity, None or zero for none, to 12 digits."""
    model, total = type(price).__struct_config__.tag, total or Fraction(0)
    if model == "flat":
        return half_up(Fraction(price.amount), 12)
    if model == "per_unit":
        return half_up(total * Fraction(price.unit_amount), 12)
    if model == "package":
        return half_up(math.ceil(total / Fraction(price.package_size)) * Fraction(price.amount), 12)
    amount, below = Fraction(0), Fraction(0)
    for tier in price.tiers:
        top = total if tier.up_to is None else min(total, Fraction(tier.up_to))
        if total > below:
            unit, flat = Fraction(tier.unit_amount), Fraction(tier.flat_amount)
            amount = amount + (top - below) * unit + flat if model == "graduated" else total * unit + flat
        below = top if tier.up_to is None else Fraction(tier.up_to)
    return half_up(amount, 12)
