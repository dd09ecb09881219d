"""Logs with admission records, made as a command makes them: from letters, and from an archive that it may have read
long ago. And a recount of them that forgets nothing."""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.admission import AdmissionRecord, Returned, encode
from processors.events import Decoder
from processors.meter import Batch, PartitionState

HOUR_MS = 3_600_000
START_MS = 1_793_577_600_000  # 2026-11-02
SKEW_MS = 300_000
LATENESS_MS = {"a": HOUR_MS, "b": 2 * HOUR_MS}
LATENESS_MAX_MS = 2 * HOUR_MS
CATALOGUE = Catalogue(
    generation=1,
    events=tuple(EventType(name, lateness) for name, lateness in LATENESS_MS.items()),
    meters=(
        Meter("sums", 1, "a", "sum", "v", ("zone",)),
        Meter("counts", 1, "b", "count", window="15m"),
        Meter("users", 1, "a", "unique", "zone"),
        Meter("last", 1, "b", "latest", "v"),
    ),
)
DECODER = Decoder(CATALOGUE, Limits(), SKEW_MS)
Identity = tuple[str, int]  # id, time


class Line(NamedTuple):
    offset: int
    timestamp_ms: int
    value: bytes


class Known(NamedTuple):
    """Of an accepted event: how a command may know of it."""

    offset: int  # of what accepted it
    end_ms: int  # of the hour or day that it is kept in
    admitted: bool


class Letter(NamedTuple):
    offset: int
    raw: bytes
    identity: Identity
    end_ms: int


def batch(lines: list[Line]) -> Batch:
    offsets, times, values = zip(*lines, strict=True)
    return Batch(list(values), np.array(offsets, np.int64), np.array(times, np.int64))


def event(kind: str, name: str, time_ms: int, v: int, number: int = -1) -> bytes:
    """`number`: of its source, if it is known by that."""
    time = np.datetime64(time_ms, "ms").item().isoformat() + "Z"
    body = {"specversion": "1.0", "id": name, "source": "s", "type": kind, "subject": "z", "time": time}
    numbered = {"sequencetype": "tollstream", "sequence": str(number)} if number >= 0 else {}
    return msgspec.json.encode(body | {"data": {"v": v, "zone": f"z{v % 3}"}} | numbered)


class Story:
    """A log as it grows, message by message, who knows what of it, and every verdict on an admission that is wrong.

    What came in time is judged with plain sets that forget nothing. What came back is judged by the fold, and each of
    its verdicts is held against those sets: `faults`.
    """

    def __init__(self, seed: int, messages: int = 45) -> None:
        self.rng = random.Random(seed)
        self.log: list[Line] = []
        self.state = PartitionState(CATALOGUE, Limits(), DECODER)
        self.clock_ms = 0
        self.known: dict[Identity, Known] = {}
        self.letters: list[Letter] = []
        self.ledgers = [(0, START_MS)]  # (offset, clock) of every checkpoint
        self.sent: list[tuple[str, str, int, int, int]] = []
        self.verdicts: Counter[str] = Counter()
        self.faults: list[str] = []
        now_ms = START_MS
        for _ in range(messages):
            now_ms += self.rng.choice((0, 0, 60_000, 20 * 60_000, HOUR_MS, 4 * HOUR_MS))
            at = self.log[-1].offset + self.rng.choice((1, 1, 1, 3)) if self.log else 0
            stamp_ms = now_ms - (self.rng.randint(0, HOUR_MS) if self.rng.random() < 0.1 else 0)
            self.clock_ms = max(self.clock_ms, stamp_ms)
            if self.letters and self.rng.random() < 0.5:
                self._admit(at, stamp_ms)
            else:
                self._send(at, stamp_ms)
            if self.rng.random() < 0.7:
                self.ledgers.append((self.log[-1].offset + 1, self.clock_ms))

    def _send(self, at: int, stamp_ms: int) -> None:
        rng = self.rng
        if self.sent and rng.random() < 0.5:
            kind, name, time_ms, v, number = rng.choice(self.sent)
        else:
            kind, name, v = rng.choice("ab"), f"e{len(self.sent)}", rng.randint(1, 9)
            number = len(self.sent) if rng.random() < 0.4 else -1
            time_ms = stamp_ms - rng.choice((0, 30 * 60_000, 90 * 60_000, 3 * HOUR_MS, 9 * HOUR_MS))
            self.sent.append((kind, name, time_ms, v, number))
        raw = event(kind, name, time_ms, v, number)
        size_ms = 24 * HOUR_MS if number >= 0 else HOUR_MS
        end_ms = (time_ms // size_ms + 1) * size_ms
        self._fold(Line(at, stamp_ms, raw))
        if time_ms < self.clock_ms - LATENESS_MS[kind]:
            self.letters.append(Letter(at, raw, (name, time_ms), end_ms))
        elif (name, time_ms) not in self.known:
            self.known[(name, time_ms)] = Known(at, end_ms, False)

    def _admit(self, at: int, stamp_ms: int) -> None:
        """As a command does: the ledger first, then the archive, which may hold more than the ledger said."""
        rng = self.rng
        offset, clock_ms = self.ledgers[-1] if rng.random() < 0.6 else rng.choice(self.ledgers)
        chosen = rng.choices(self.letters, k=rng.randint(1, 5))
        read = max((offset, clock_ms), rng.choice(self.ledgers))
        returned = [Returned(one.offset, 0, one.raw, self._archived(one, *read)) for one in chosen]
        record = AdmissionRecord(clock_ms, LATENESS_MAX_MS, "T", 0, returned)
        self._fold(Line(at, stamp_ms, encode(record)))
        outcomes = self.state.admissions.pending[at].outcomes
        for letter, outcome in zip(chosen, outcomes, strict=True):
            self.verdicts[outcome.verdict] += 1
            counted = letter.identity in self.known
            if outcome.verdict == "accepted":
                self.known[letter.identity] = Known(at, letter.end_ms, True)
            if counted != (outcome.verdict == "duplicate") and outcome.verdict != "late":
                self.faults.append(f"{letter} was counted: {counted}, and is {outcome.verdict} at {at}")
            if outcome.verdict == "late" and _first_open(clock_ms) == _first_open(self.clock_ms):
                self.faults.append(f"{letter} is expired at {at}, and no hour has closed")

    def _archived(self, letter: Letter, offset: int, clock_ms: int) -> bool:
        found = self.known.get(letter.identity)
        if found is None:
            return False
        return found.offset < offset if found.admitted else found.end_ms <= clock_ms - LATENESS_MAX_MS

    def _fold(self, line: Line) -> None:
        self.log.append(line)
        self.state.fold(batch([line]))


def _first_open(clock_ms: int) -> int:
    return (clock_ms - LATENESS_MAX_MS) // HOUR_MS
