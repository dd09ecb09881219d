"""Logs of events with and without numbers, and what must become of them."""

from __future__ import annotations

import random

import msgspec
import numpy as np

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.events import Decoder
from processors.meter import Batch, Ledger, PartitionState

HOUR_MS = 3_600_000
START_MS = 1_793_577_600_000  # 2026-11-02
CATALOGUE = Catalogue(generation=1, events=(EventType("t", 24 * HOUR_MS),), meters=(Meter("m", 1, "t", "count"),))
LIMITS = Limits(sequence_intervals_max=2)


def state() -> PartitionState:
    return PartitionState(CATALOGUE, LIMITS, Decoder(CATALOGUE, LIMITS, 0))


def event(source: str, number: int | None, time_ms: int, id: str = "x") -> bytes:
    body = {"specversion": "1.0", "id": id, "source": source, "type": "t", "subject": "s", "data": {}}
    if number is not None:
        body |= {"sequence": str(number), "sequencetype": "tollstream"}
    return msgspec.json.encode(body | {"time": np.datetime64(time_ms, "ms").item().isoformat() + "Z"})


def make_log(rng: random.Random, messages: int) -> tuple[list[tuple[int, bytes]], list[str]]:
    """(record timestamp, value) of each message, and the verdict that it must get. Sources that keep their promise,
    ids beside them, some of the same source; late ones, gaps, repeats near and far; three days."""
    log: list[tuple[int, bytes]] = []
    verdicts: list[str] = []
    sent: list[tuple[str, int | None, int, str]] = []
    seen: set[object] = set()
    heads: dict[str, int] = {}
    waiting: list[tuple[str, int | None, int, str]] = []
    clock_ms = START_MS
    for serial in range(messages):
        clock_ms += rng.randrange(HOUR_MS // 3) if rng.random() < 0.9 else 3 * HOUR_MS
        chance = rng.random()
        if sent and chance < 0.25:
            one = rng.choice(sent[-40:] if rng.random() < 0.7 else sent)
        elif waiting and chance < 0.4:
            one = waiting.pop(rng.randrange(len(waiting)))
        else:
            source = rng.choice(("a", "b", "c#1"))
            time_ms = clock_ms - rng.randrange(rng.choice((1_000, HOUR_MS, 30 * HOUR_MS)))
            if rng.random() < 0.2:
                one = (source, None, time_ms, f"i{serial}")
            else:
                for _ in range(rng.choice((0, 0, 0, 1, 2))):
                    heads[source] = heads.get(source, -1) + 1
                    waiting.append((source, heads[source], time_ms, "w"))
                heads[source] = heads.get(source, -1) + 1
                one = (source, heads[source], time_ms, f"i{rng.randrange(5)}")
        sent.append(one)
        source, number, time_ms, name = one
        key = (source, name, time_ms) if number is None else (source, number)
        late = time_ms < clock_ms - 24 * HOUR_MS
        verdicts.append("late" if late else "duplicate" if key in seen else "accepted")
        if not late:
            seen.add(key)
        log.append((clock_ms, event(*one)))
    return log, verdicts


def batch(log: list[tuple[int, bytes]], start: int, end: int) -> Batch:
    times, values = zip(*log[start:end], strict=True)
    return Batch(list(values), np.arange(start, end), np.array(times, np.int64))


def counts(ledger: Ledger) -> dict[str, int]:
    return {name: getattr(ledger, name) for name in ("accepted", "duplicate", "late", "invalid")}
