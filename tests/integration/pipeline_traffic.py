"""A catalogue with every aggregation and price model, seeded traffic for it, and the checks against the truth."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from pipeline import PARTITIONS, Message, Pipeline
from pipeline_truth import Owed, Sent, Truth, single

from config.catalogue import Catalogue, EventType, Meter
from rating.contracts import Account, Contract
from rating.periods import Period
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Tier, Volume
from sinks.queries import usage
from tollstream.invoices import draw

DAY = timedelta(days=1)
BASE = datetime(2026, 3, 30, tzinfo=UTC)  # three days of traffic from here touch two billing periods
LATENESS = 2 * DAY


def ms(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def meter(name: str, event_type: str, aggregation: str, value: str | None = None, **more: Any) -> Meter:
    return Meter(name, 1, event_type, aggregation, value, **more)  # type: ignore[arg-type]


def plan(name: str, version: int, *prices: Any) -> Plan:
    return Plan(id=name, version=version, currency="USD", price=prices)


REQUESTS = Graduated(
    id="requests",
    meter="requests",
    tiers=(Tier(up_to="100", unit_amount="0"), Tier(unit_amount="0.003", flat_amount="0.5")),
)
CATALOGUE = Catalogue(
    default_plan="free",
    events=(EventType("http", int(LATENESS.total_seconds() * 1000)), EventType("seat", 3 * 86_400_000)),
    meters=(
        meter("requests", "http", "sum", "requests", dimensions=("zone", "geo.region")),
        meter("eu_requests", "http", "sum", "requests", filter={"geo.region": ("eu", "")}),
        meter("egress", "http", "sum", "bytes", precision=3, window="1m"),
        meter("calls", "http", "count", dimensions=("zone",), window="15m"),
        meter("peak", "http", "max", "ms", allow_negative=True),
        meter("floor", "http", "min", "ms", allow_negative=True),
        meter("mean", "http", "avg", "ms", dimensions=("zone",), allow_negative=True),
        meter("level", "seat", "latest", "level", precision=12, allow_negative=True, dimensions=("plan",)),
        meter("seats", "seat", "unique", "user.id", window="1d"),
    ),
    plans=(
        plan(
            "free",
            1,
            PerUnit(id="calls", meter="calls", unit_amount="0.01"),
            PerUnit(id="mean", meter="mean", unit_amount="0.07"),
        ),
        plan(
            "pro",
            1,
            Flat(id="base", amount="20.00"),
            REQUESTS,
            Package(id="egress", meter="egress", package_size="10", amount="0.045"),
            Volume(id="calls", meter="calls", tiers=(Tier(up_to="50", unit_amount="0.02"), Tier(unit_amount="0.01"))),
            PerUnit(id="seats", meter="seats", unit_amount="1.25"),
            PerUnit(id="peak", meter="peak", unit_amount="0.001"),
        ),
    ),
    accounts=(Account(id="acme", subjects=("s-0", "s-1")), Account(id="globex", subjects=("s-2",))),
    contracts=(
        Contract(account="acme", plan="pro", from_=datetime(2026, 1, 1, tzinfo=UTC), to=None),
        Contract(account="globex", plan="pro", from_=datetime(2026, 3, 31, tzinfo=UTC), to=None),
    ),
)


class Traffic:
    """A log of events that grows with record time, from a seed. Times are unique, so that latest has one answer."""

    def __init__(self, seed: int, subjects: int = 8) -> None:
        self.random, self.subjects = random.Random(seed), subjects
        self.log: list[Sent] = []
        self._count = 0
        self._past: list[dict[str, Any]] = []

    def event(self, at: datetime, **changes: Any) -> dict[str, Any]:
        """A good event at about `at`, the same instant never twice."""
        self._count += 1
        rng = self.random
        when = at.replace(microsecond=0) + timedelta(microseconds=self._count)
        made: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"e{self._count}",
            "source": f"edge-{self._count % 3}",
            "type": "http" if rng.random() < 0.7 else "seat",
            "subject": f"s-{rng.randrange(self.subjects)}",
            "time": when.isoformat().replace("+00:00", "Z"),
        }
        if made["type"] == "http":
            data: dict[str, Any] = {
                "requests": rng.choice([rng.randrange(9), str(rng.randrange(9))]),
                "bytes": rng.choice(["0.125", 3, f"{rng.randrange(10**6)}.5"]),
                "ms": rng.randrange(-50, 1000),
                "geo": rng.choice([{}, {"region": "eu"}, {"region": "us"}, {"region": None}]),
            }
            if rng.random() < 0.8:
                data["zone"] = rng.choice(["a", 'q"\\\u00e9', 7, True])
        else:
            data = {"level": f"{rng.randrange(-9, 9)}.{rng.randrange(10**12):012d}", "plan": rng.choice("xy")}
            if rng.random() < 0.9:
                data["user"] = {"id": rng.choice([f"u{rng.randrange(40)}", rng.randrange(40), None])}
        made["data"] = data
        return made | changes

    def partition(self, subject: str) -> int:
        """Twins must meet: the same for all events of a subject."""
        return int(subject.rpartition("-")[2]) % PARTITIONS

    def add(self, sent: Sent) -> None:
        self.log.append(sent)

    def fill(self, events: int, start: datetime, end: datetime) -> list[Message]:
        """Events with duplicates, late and unmetered ones, in all four shapes; only what was added now."""
        before, rng, made = len(self.log), self.random, 0
        batches: dict[int, list[dict[str, Any]]] = {partition: [] for partition in range(PARTITIONS)}
        while made < events:
            at = start + (end - start) * made / events
            draw = rng.random()
            if draw < 0.05 and self._past:
                event = rng.choice(self._past)  # the same again; late by now, perhaps
            elif draw < 0.07:
                event = self.event(at - 4 * DAY)
            elif draw < 0.08:
                event = self.event(at, type="nobody")
            else:
                event = self.event(at - rng.random() * DAY)
                self._past.append(event)
            made += 1
            partition = self.partition(event["subject"])
            shape = rng.random()
            if shape < 0.3:
                self.add(Sent(partition, ms(at), single(event, packed=shape < 0.15), [event]))
                continue
            batch = batches[partition]
            batch.append(event)
            if len(batch) >= 20:
                self._flush(batches, partition, ms(at), packed=shape < 0.6)
        for partition in batches:
            self._flush(batches, partition, ms(end), packed=False)
        return self.messages(before)

    def _flush(self, batches: dict[int, list[dict[str, Any]]], partition: int, at_ms: int, packed: bool) -> None:
        batch, batches[partition] = batches[partition], []
        if batch:
            encode = msgspec.msgpack.encode if packed else msgspec.json.encode
            self.add(Sent(partition, at_ms, encode(batch), list(batch)))

    def messages(self, since: int = 0) -> list[Message]:
        return [Message(one.partition, one.at_ms, one.value) for one in self.log[since:]]


def check(pipeline: Pipeline, log: list[Sent], catalogue: Catalogue | None = None) -> Truth:
    """Ledger (I1), usage (I2), rated rows and previews (I6) equal the recount."""
    truth = Truth(catalogue or pipeline.catalogue, log)
    check_truth(pipeline, truth)
    return truth


def check_truth(pipeline: Pipeline, truth: Truth) -> None:
    """As `check`, for a recount that went on after the log."""
    found = pipeline.ledger()
    assert {name: getattr(found, name) for name in truth.ledger} == truth.ledger
    assert found.balanced
    assert found.consumed == truth.consumed
    check_usage(pipeline, truth)
    check_rated(pipeline, truth)


def check_usage(pipeline: Pipeline, truth: Truth) -> None:
    for one in truth.catalogue.meters:
        records = usage(
            pipeline.client,
            one.id,
            window="day" if one.window == "1d" else "hour",
            group_by=("subject", *one.dimensions),
        )
        found = {
            (record.subject, *(record.dimensions[path] for path in one.dimensions), record.window_start): (
                record.quantity,
                record.events,
            )
            for record in records
        }
        assert len(found) == len(records)
        assert found == truth.usage(one), one.id


def check_rated(pipeline: Pipeline, truth: Truth) -> None:
    amounts, unrated = truth.rated()
    columns = "account, segment_start, price, meter, toBool(opening), day, amount, quantity, unrated_reason"
    found_amounts, found_unrated = {}, {}
    for *key, amount, quantity, reason in pipeline.client.query(f"SELECT {columns} FROM rated_usage").result_rows:
        if amount is None:
            assert reason
            found_unrated[Owed(*key)] = quantity
        elif amount:
            found_amounts[Owed(*key)] = amount
    assert found_amounts == amounts
    assert found_unrated == unrated
    for account in ("acme", "globex", min(truth.accounts() - {"acme", "globex"})):
        for month in truth.months():
            check_preview(pipeline, truth, account, month)


def check_preview(pipeline: Pipeline, truth: Truth, account: str, month: date) -> None:
    after = (month + timedelta(days=32)).replace(day=1)
    invoice = draw(pipeline.client, truth.catalogue, account, Period(month, after))
    lines = {(line.segment_start, line.price): (line.quantity, line.amount) for line in invoice.lines}
    assert lines == truth.invoice(account, month)
    assert invoice.total == sum(amount for _, amount in lines.values())
