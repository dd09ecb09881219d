"""Steady seeded traffic, straight to the broker, and its truth. Its clock is its own: a second of ours is minutes of
its, so that windows close, days and a month end, and every verdict is known, however long a fault keeps events waiting.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec
from confluent_kafka import Producer

from tests.chaos.truth import HOUR, LATENESS, SUBJECTS, ZONES, Truth

START = datetime(2026, 3, 31, 12, tzinfo=UTC)  # the month ends after 21,600 events
STEP = timedelta(seconds=2)  # between two events
TICK_S = 0.1
FLUSH_S = 60.0  # a broker's restart takes a few
PARTITIONS = 3

Drawn = tuple[int, datetime, dict[str, Any] | None, dict[str, Any]]  # number, time, what counts, what is sent


class Traffic:
    """Sends `rate` events a second from a thread of its own, from `start` until `stop`, but in `paused` blocks."""

    def __init__(self, bootstrap: str, topic: str, seed: int, rate: int) -> None:
        self._topic, self._rate = topic, rate
        self._random = random.Random(seed)
        self.truth = Truth()
        self._number = 0
        self._recent: deque[Drawn] = deque(maxlen=1_500)
        self._failed: list[str] = []
        self._stop = threading.Event()
        self._turn = threading.Lock()  # held while a tick's messages are made
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        # Idempotent, and patient for longer than any fault lasts: each message is in the log exactly once, in order.
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "delivery.timeout.ms": 300_000,
                "linger.ms": 5,
                "delivery.report.only.error": True,
                "on_delivery": self._note,
                "log_level": 2,
            }
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(FLUSH_S)

    @contextlib.contextmanager
    def paused(self) -> Iterator[Truth]:
        """Nothing is sent in the block, and all that was sent before is in the log: the whole truth."""
        with self._turn:
            left = self._producer.flush(FLUSH_S)
            if left or self._failed:
                raise UndeliveredError(
                    f"{left} messages are not in the log, {len(self._failed)} failed: {self._failed[:1]}"
                )
            yield self.truth

    def _note(self, error: Any, _message: Any) -> None:
        self._failed.append(str(error))

    def _run(self) -> None:
        next_at = time.monotonic()
        while not self._stop.is_set():
            with self._turn:
                self._tick(int(self._rate * TICK_S))
            self._producer.poll(0)
            next_at = max(next_at + TICK_S, time.monotonic())  # after a pause it goes on; it makes nothing good
            self._stop.wait(next_at - time.monotonic())

    def _tick(self, events: int) -> None:
        batches: dict[int, list[Drawn]] = {partition: [] for partition in range(PARTITIONS)}
        for _ in range(events):
            drawn = self._draw()
            batches[int(drawn[3]["subject"][2:]) % PARTITIONS].append(drawn)  # twins must meet
        at = START + STEP * self._number
        for partition, batch in batches.items():
            cut = self._random.randrange(1, len(batch) + 1) if batch else 0
            for part in (batch[:cut], batch[cut:]):
                if part:
                    self._send(partition, at, part)

    def _send(self, partition: int, at: datetime, batch: list[Drawn]) -> None:
        value = msgspec.json.encode([sent for *_, sent in batch])
        at_ms = int(at.timestamp() * 1000)
        self._producer.produce(self._topic, value, b"", partition, timestamp=at_ms)
        self.truth.add(partition, at, [drawn[:3] for drawn in batch])

    def _draw(self) -> Drawn:
        rng, self._number = self._random, self._number + 1
        kind = rng.random()
        if kind < 0.05 and self._recent:
            return rng.choice(self._recent)  # the same again; late by now, perhaps
        now = START + STEP * self._number
        when = now - (rng.random() * HOUR if kind > 0.08 else LATENESS + HOUR * (1 + rng.random()))
        when = when.replace(
            microsecond=self._number % 1_000_000
        )  # never the same twice in a window: latest has one answer
        event = self._event(when)
        if 0.08 < kind < 0.085:
            event["type"] = "nobody"
        elif kind > 0.995:
            return self._number, when, None, event | {"time": "yesterday"}
        drawn = (self._number, when, event, event)
        self._recent.append(drawn)
        return drawn

    def _event(self, when: datetime) -> dict[str, Any]:
        rng = self._random
        data: dict[str, Any] = {"user": f"u{rng.randrange(200)}", "level": rng.randrange(1000)}
        if rng.random() < 0.7:
            data = {"bytes": f"{rng.randrange(5000)}.{rng.randrange(1000):03d}", "ms": rng.randrange(1_000_000)}
            data["zone"] = rng.choice(ZONES)
        return {
            "specversion": "1.0",
            "id": f"e{self._number}",
            "source": f"edge-{self._number % 3}",
            "type": "call" if "zone" in data else "seat",
            "subject": f"s-{rng.randrange(SUBJECTS)}",
            "time": when.isoformat().replace("+00:00", "Z"),
            "data": data,
        }


class UndeliveredError(Exception):
    """The broker does not take what it should by now: the run has no truth any more."""
