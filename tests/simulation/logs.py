"""Logs made from a seed: records whose timestamps go back at times, gaps in the offsets, duplicates, late, refused and
unmetered events, single and in batches. And the catalogue that they are about."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from config.catalogue import END_MS, Catalogue, EventType, Meter, epoch_ms
from processors.meter import Batch
from rating.contracts import Account, Contract
from rating.plans import Plan
from rating.prices import Flat, Graduated, Package, PerUnit, Tier, Volume
from tests.simulation.columnar import columnar
from tests.simulation.numbered import Numbers
from tests.simulation.oracle import Fact, Message

START = datetime(2026, 10, 31, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
SKEW_MS = 300_000
HOUR_MS = 3_600_000
_JSON = (msgspec.json.Encoder(decimal_format="string"), msgspec.json.Encoder(decimal_format="number"))
COLUMNLESS = b"\xff\xff\xff\xff\x30\x00\x00\x00" + bytes(60)  # begins as a columnar message does
GARBAGE = (b"{", b"[]", b"", None, b'{"id": "x"}', b"\xff\xfe", b'[{"specversion": "1.0"}', b"[NaN]", b"7", COLUMNLESS)

_PRO = Plan(
    "pro",
    1,
    "USD",
    price=(
        Flat("base", "5"),
        Graduated(
            "r", "requests", (Tier(up_to="12.5", unit_amount="0.1"), Tier(unit_amount="0.0333", flat_amount="1"))
        ),
        Package("h", "hits", "3", "0.7"),
        Volume("u", "users", (Tier(up_to="2", unit_amount="1"), Tier(unit_amount="0.25"))),
        PerUnit("l", "load", "0.3"),
        PerUnit("d", "disk", "2"),
        PerUnit("x", "high", "0.01"),
    ),
)
_MAX = Plan("max", 1, "USD", price=(Flat("base", "9"), PerUnit("r", "requests", "0.02"), PerUnit("n", "low", "1")))
_FREE = Plan("free", 1, "EUR", price=(PerUnit("r", "requests", "0.001"), PerUnit("h", "hits", "0.05")))

CATALOGUE = Catalogue(
    generation=3,
    default_plan="free",
    events=(EventType("a", 2 * HOUR_MS), EventType("b", 5 * HOUR_MS), EventType("none", HOUR_MS)),
    meters=(
        Meter("requests", 1, "a", "sum", "v", ("zone",), precision=2),
        Meter("requests", 2, "a", "sum", "v", ("zone", "tier"), precision=4, from_=START + timedelta(hours=8)),
        Meter("hits", 1, "a", "count", filter={"zone": ("eu", "us")}, window="1d"),
        Meter("users", 1, "a", "unique", "user", ("tier",)),
        Meter("load", 1, "b", "avg", "v", window="15m", precision=3, allow_negative=True),
        Meter("disk", 1, "b", "latest", "deep.g"),
        Meter("low", 1, "b", "min", "v", precision=3, allow_negative=True),
        Meter("high", 1, "b", "max", "v", ("zone",), window="5m", precision=3, allow_negative=True),
        Meter("level", 1, "b", "gauge", "v", window="1d", precision=3, allow_negative=True),
    ),
    plans=(_PRO, _MAX, _FREE),
    accounts=(Account("acme", ("s0", "s1")), Account("umbra", ("s2",), NOVEMBER)),
    contracts=(
        Contract("acme", "pro", datetime(2026, 10, 1, tzinfo=UTC), NOVEMBER + timedelta(days=1)),
        Contract("acme", "max", NOVEMBER + timedelta(days=1)),
        Contract("umbra", "pro", datetime(2026, 1, 1, tzinfo=UTC)),
    ),
)


def _with(catalogue: Catalogue, **changed: Any) -> Catalogue:
    return msgspec.structs.replace(catalogue, generation=catalogue.generation + 1, **changed)


_PRO_2 = Plan(
    "pro",
    2,
    "USD",
    price=(
        Graduated("r", "requests", (Tier(up_to="5", unit_amount="0.2"), Tier(unit_amount="0.01"))),
        Package("hits-by-three", "hits", "3", "0.9"),
        PerUnit("l", "load", "0.3"),
    ),
)
_UNGAUGED = msgspec.structs.replace(CATALOGUE, meters=CATALOGUE.meters[:-1])  # a gauge takes a sixth of a run's time
_REPRICED = _with(_UNGAUGED, plans=(_PRO, _PRO_2, _MAX, _FREE))
_MOVED = _with(_REPRICED, default_plan=None, contracts=(Contract("acme", "max", datetime(2026, 10, 1, tzinfo=UTC)),))
_METERED = _with(
    CATALOGUE,
    meters=(
        *CATALOGUE.meters,
        Meter("hits", 2, "a", "count", filter={"tier": ("x",)}, window="1d", from_=NOVEMBER),
        Meter("high", 2, "b", "max", "v", window="15m", precision=3, allow_negative=True, from_=NOVEMBER),
    ),
)
# Published in one of these orders in the midst of a run.
HISTORIES = ((CATALOGUE,), (_UNGAUGED, _REPRICED), (_UNGAUGED, _REPRICED, _MOVED), (CATALOGUE, _METERED))


def begins_ms(history: tuple[Catalogue, ...]) -> int:
    """When the first meter that is new in a history begins: messages of then must wait for its catalogue."""
    new = [meter.from_ms for meter in history[-1].meters if meter not in history[0].meters]
    return min(new, default=END_MS)


def batch_of(messages: list[Message]) -> Batch:
    """A batch as the consumer hands it over."""
    return Batch(
        [message.value for message in messages],
        np.array([message.offset for message in messages], np.int64),
        np.array([message.timestamp_ms for message in messages], np.int64),
    )


def make_log(rng: random.Random, messages: int) -> list[Message]:
    """One partition's log."""
    log: list[Message] = []
    sent: list[tuple[Fact, dict[str, Any]]] = []
    numbers = Numbers(rng)
    clock_ms, offset, serial = epoch_ms(START), rng.choice((0, 0, 3)), 0
    for _ in range(messages):
        clock_ms += _step_ms(rng)
        timestamp_ms = clock_ms - (rng.randint(1, 4 * HOUR_MS) if rng.random() < 0.06 else 0)
        if rng.random() < 0.06:
            log.append(Message(offset, timestamp_ms, rng.choice(GARBAGE), (Fact(False),)))
        else:
            events = []
            for _ in range(1 if rng.random() < 0.6 else rng.randint(2, 5)):
                if sent and rng.random() < 0.2:
                    events.append(rng.choice(sent[-15:] if rng.random() < 0.7 else sent))
                    continue
                serial += 1
                events.append(numbers.stamp(*_event(rng, serial, timestamp_ms)))
                if events[-1][0].readable:
                    sent.append(events[-1])
            value = _encoded(rng, [body for _, body in events])
            log.append(Message(offset, timestamp_ms, value, tuple(fact for fact, _ in events)))
        offset += 1 if rng.random() < 0.85 else rng.randint(2, 4)
    return log


def _step_ms(rng: random.Random) -> int:
    chance = rng.random()
    if chance < 0.85:
        return rng.randint(0, 20 * 60_000)
    return rng.randint(0, HOUR_MS) if chance < 0.96 else rng.randint(HOUR_MS, 9 * HOUR_MS)


def _event(rng: random.Random, serial: int, timestamp_ms: int) -> tuple[Fact, dict[str, Any]]:
    chance = rng.random()
    ahead_ms = -rng.randint(0, HOUR_MS) if chance < 0.75 else rng.randint(-7 * HOUR_MS, SKEW_MS + 120_000)
    time_us = (timestamp_ms + ahead_ms) * 1000 + serial % 1000
    data: dict[str, Any] = {}
    for path, choices in {
        "zone": ("eu", "us", "ap", None),
        "tier": ("x", "y", None),
        "user": (*"abcdefghijklmnop", None),
        "v": tuple(Decimal(n).scaleb(-2) for n in (1, 5, 100, 725, 1_000, 10**15)),
        "deep.g": tuple(Decimal(n) for n in (0, 1, 7, 10**18)),
    }.items():
        data[path] = rng.choice(choices)
    kind = rng.choice("aaaabbb") if rng.random() < 0.93 else rng.choice(("none", "unheard-of"))
    if kind == "b" and rng.random() < 0.3:
        data["v"] = -data["v"]
    readable = True
    spoilt = rng.random() if rng.random() < 0.06 else 1.0
    if spoilt < 0.5 and kind in "ab":
        data["v"] = None if spoilt < 0.25 else "12abc"
        readable = False
    fact = Fact(
        readable,
        f"e{serial}",
        rng.choice(("edge-1", "edge-2")),
        kind,
        f"s{rng.choice((0, 0, 1, 2, 3))}",
        time_us,
        {path: value for path, value in data.items() if value is not None},
    )
    instant = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
    body = {
        "specversion": "1.0",
        "id": fact.id,
        "source": fact.source,
        "type": kind,
        "subject": fact.subject,
        "time": instant.isoformat().replace("+00:00", "Z"),
        "data": _nested(data),
    }
    if 0.5 <= spoilt < 1.0:
        body[rng.choice(("id", "source", "subject", "time"))] = rng.choice(("", None, 7, "2026-11-01T00:00:00"))
        body["id"] = ""  # whatever the choice above was, it is refused now
        fact = fact._replace(readable=False)
    return fact, body


def _nested(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, value in data.items():
        *above, name = path.split(".")
        place = found
        for one in above:
            place = place.setdefault(one, {})
        place[name] = value
    return found


def _encoded(rng: random.Random, bodies: list[dict[str, Any]]) -> bytes:
    """A single event alone or as an array of one; several as an array, or as columns; JSON or MessagePack; numbers as
    text or not."""
    sayable = not any(isinstance(body.get("sequence"), int) for body in bodies)  # an integer column of it means texts
    if sayable and rng.random() < (0.1 if len(bodies) == 1 else 0.4):
        return columnar(rng, bodies)
    value = bodies[0] if len(bodies) == 1 and rng.random() < 0.8 else bodies
    if rng.random() < 0.3:
        return msgspec.msgpack.encode(value)
    return rng.choice(_JSON).encode(value)
