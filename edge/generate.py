"""Seeded synthetic edge traffic as CloudEvents lines, with the exact truth about it.

Everything is drawn from the seed and the given instant, nothing from a clock. The truth is added up from the drawn
numbers before they become text, so it shares no code with what later reads the lines.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge import malformed
from edge.sequenced import Counters
from edge.truth import Ints, Tally, meter_table, path_of

GOOD, DUPLICATE, LATE, MALFORMED, UNMETERED = range(5)
HTTP, WORKER, STORAGE, DNS = range(4)

REGIONS = [b"ap", b"eu", b"sa", b"us"]
CACHE = [b"bypass", b"hit", b"miss"]
CLASSES = [b"A", b"B"]
POPS = 32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_HOUR_MS = 3_600_000
_JITTER_MS = 120_000  # how far neighbours in the file may be out of order
_BLOCK = 50_000  # events drawn at once: large enough for numpy, small enough for the cache
_ZIPF = 1.1  # the first of 5,000 subjects gets about a sixth of the traffic
_NEAR, _FAR = 200, 500_000  # a duplicate follows its event within so many others: half of them near, half far
_CPU_MAX = 60_000  # thousandths of a millisecond, exclusive
# The text of every possible cpu_ms, trailing zeros dropped: "12", "12.5", "0.001".
_CPU_TEXT = [(f"{m // 1000}.{m % 1000:03d}".rstrip("0").rstrip(".")).encode() for m in range(_CPU_MAX)]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What traffic to make. Shares are parts of `events`, which counts every line. `base_time` is the instant that the
    traffic is made for: accepted events lie in the `span` before it, late ones two to three `lateness` before it."""

    seed: int
    events: int
    base_time: datetime
    subjects: int = 5000
    hot: float = 0.0  # share of the events that the first subject gets before the others are drawn
    duplicates: float = 0.02
    late: float = 0.005
    malformed: float = 0.001
    unmetered: float = 0.001
    sequenced: float = 0.0  # share of the subjects whose events are known by a number of their source
    span: timedelta = timedelta(hours=6)
    lateness: timedelta = timedelta(hours=24)

    def counts(self) -> list[int]:
        """How many lines of each kind, in the order of the kinds."""
        others = [round(self.events * share) for share in (self.duplicates, self.late, self.malformed, self.unmetered)]
        return [self.events - sum(others), *others]

    def faults(self) -> list[str]:
        """All that is wrong with it, in words; empty if nothing is."""
        shares = (self.duplicates, self.late, self.malformed, self.unmetered)
        tests = [
            (self.seed >= 0, "seed must not be negative"),
            (self.events >= 1, "events must be at least 1"),
            (1 <= self.subjects <= 10_000_000, "subjects must be from 1 to 10,000,000"),
            (all(0 <= share <= 1 for share in (*shares, self.sequenced)), "shares must be from 0 to 1"),
            (self.counts()[GOOD] >= 1, "events and shares must leave at least one event to be accepted"),
            (self.base_time.tzinfo is not None, "base_time must have a zone"),
            (self.span >= timedelta(minutes=1), "span must be at least a minute"),
            (
                self.span + timedelta(hours=1) <= self.lateness,
                "lateness must exceed span by an hour, or all is late",
            ),
        ]
        return [message for holds, message in tests if not holds]


class Traffic:
    """One run of lines. `blocks` can be read once, and `truth` only after its end."""

    def __init__(self, shape: Shape) -> None:
        """Raises ValueError naming every fault of `shape`."""
        if faults := shape.faults():
            raise ValueError("; ".join(faults))
        shape = msgspec.structs.replace(shape, base_time=shape.base_time.astimezone(UTC))
        self.shape = shape
        self._rng = np.random.default_rng(shape.seed)
        self._base_ms = (shape.base_time - _EPOCH) // _MS
        self._span_ms = shape.span // _MS
        self._first_hour = (self._base_ms - self._span_ms - _JITTER_MS) // _HOUR_MS
        self._hours = self._base_ms // _HOUR_MS - self._first_hour + 1
        weights = 1 / np.arange(1, shape.subjects + 1) ** _ZIPF
        self._zipf = np.cumsum(weights) / weights.sum()
        self._kinds = self._draw_kinds()
        self._sources, self._last_use = self._draw_sources()
        self._http, self._worker, self._storage = Tally(3), Tally(2), Tally(1)
        self._malformed: dict[str, int] = {}
        self._kept: dict[int, bytes] = {}
        self._templates = _templates(shape)
        self._counters = Counters(shape.seed, shape.subjects, shape.sequenced, _run_of(shape))
        self._made = 0
        self._repeated = 0

    def blocks(self) -> Iterator[list[bytes]]:
        """The lines, without line ends, in lists of up to 50,000."""
        good_before = 0
        for start in range(self._made, self.shape.events, _BLOCK):
            kinds = self._kinds[start : start + _BLOCK]
            lines = self._make(start, kinds)
            self._repeat(lines, kinds, good_before)
            good_before += int((kinds == GOOD).sum())
            self._made += len(kinds)
            yield lines.tolist()

    def _draw_kinds(self) -> Any:
        """The kind of every line, int8; the first good one stands before the first duplicate."""
        counts = self.shape.counts()
        kinds = np.repeat(np.arange(5, dtype=np.int8), counts)
        self._rng.shuffle(kinds)
        if counts[DUPLICATE]:
            duplicate, good = int(np.argmax(kinds == DUPLICATE)), int(np.argmax(kinds == GOOD))
            if duplicate < good:
                kinds[[duplicate, good]] = kinds[[good, duplicate]]
        return kinds

    def _draw_sources(self) -> tuple[Ints, dict[int, int]]:
        """For each duplicate in order which good event it repeats, and for each such event its last duplicate."""
        duplicate = self._kinds == DUPLICATE
        before = np.cumsum(self._kinds == GOOD)[duplicate]
        reach = np.where(self._rng.random(len(before)) < 0.5, _NEAR, _FAR)
        sources = before - 1 - self._rng.integers(0, np.minimum(before, reach)) if len(before) else before
        return sources, {source: n for n, source in enumerate(sources.tolist())}

    def _make(self, start: int, kinds: Any) -> Any:
        """The lines of one block as an object array; those of duplicates are still to be filled in."""
        rng, shape, n = self._rng, self.shape, len(kinds)
        slot = np.arange(start, start + n)
        type_ = np.searchsorted([0.6, 0.85], rng.random(n), side="right")
        type_[kinds == MALFORMED], type_[kinds == UNMETERED], type_[kinds == DUPLICATE] = HTTP, DNS, -1
        time_ms = self._base_ms - self._span_ms + (2 * slot + 1) * self._span_ms // (2 * shape.events)
        time_ms = np.minimum(time_ms + rng.integers(-_JITTER_MS, _JITTER_MS, n), self._base_ms)
        lateness_ms = shape.lateness // _MS
        time_ms = np.where(kinds == LATE, self._base_ms - rng.integers(2 * lateness_ms, 3 * lateness_ms, n), time_ms)
        time = np.datetime_as_string(time_ms.astype("datetime64[ms]")).astype("S")
        subject = np.minimum(np.searchsorted(self._zipf, rng.random(n), side="right"), shape.subjects - 1)
        if shape.hot:
            subject = np.where(rng.random(n) < shape.hot, 0, subject)
        pop, region = rng.integers(0, POPS, n), rng.integers(0, len(REGIONS), n)
        numbered = self._counters.takes(subject) & (kinds != DUPLICATE)
        pop = np.where(numbered, subject % POPS, pop)
        lines = np.empty(n, object)
        for code, data in enumerate((self._http_data, self._worker_data, self._storage_data, self._dns_data)):
            at = np.flatnonzero(type_ == code)
            hour = time_ms[at] // _HOUR_MS - self._first_hour
            columns = data(subject[at], region[at], hour, kinds[at] == GOOD)
            envelope = (column[at].tolist() for column in (slot, pop, subject, time))
            lines[at] = list(map(self._templates[code].__mod__, zip(*envelope, *columns, strict=False)))
        if numbered.any():
            self._counters.stamp(lines, np.flatnonzero(numbered), subject[numbered])
        for i in np.flatnonzero(kinds == MALFORMED).tolist():
            kind = malformed.KINDS[int(rng.integers(len(malformed.KINDS)))]
            self._malformed[kind] = self._malformed.get(kind, 0) + 1
            lines[i] = malformed.spoil(lines[i], kind)
        return lines

    def _http_data(self, subject: Ints, region: Ints, hour: Ints, good: Any) -> tuple[Any, ...]:
        n = len(subject)
        requests = np.where(self._rng.random(n) < 0.8, 1, self._rng.integers(2, 100, n))
        size = self._rng.integers(200, 1 << self._rng.integers(10, 24, n))
        cache = self._rng.integers(0, len(CACHE), n)
        key = ((subject * len(REGIONS) + region) * self._hours + hour)[good]
        self._http.add(key, requests[good], size[good], np.ones_like(key))
        return requests.tolist(), size.tolist(), _texts(REGIONS, region), _texts(CACHE, cache)

    def _worker_data(self, subject: Ints, region: Ints, hour: Ints, good: Any) -> tuple[Any, ...]:
        cpu = self._rng.integers(1, _CPU_MAX, len(subject))
        key = ((subject * len(REGIONS) + region) * self._hours + hour)[good]
        self._worker.add(key, cpu[good], np.ones_like(key))
        return list(map(_CPU_TEXT.__getitem__, cpu.tolist())), _texts(REGIONS, region)

    def _storage_data(self, subject: Ints, region: Ints, hour: Ints, good: Any) -> tuple[Any, ...]:
        n = len(subject)
        class_, size = self._rng.integers(0, len(CLASSES), n), self._rng.integers(0, 1 << 22, n)
        key = ((subject * len(CLASSES) + class_) * self._hours + hour)[good]
        self._storage.add(key, np.ones_like(key))
        return _texts(CLASSES, class_), size.tolist(), _texts(REGIONS, region)

    def _dns_data(self, subject: Ints, region: Ints, hour: Ints, good: Any) -> tuple[Any, ...]:
        return repeat(1), _texts(REGIONS, region)

    def _repeat(self, lines: Any, kinds: Any, good_before: int) -> None:
        """Fill in the duplicates of a block, and keep the lines that a later block repeats."""
        for i, source in enumerate(np.flatnonzero(kinds == GOOD).tolist(), good_before):
            if i in self._last_use:
                self._kept[i] = lines[source]
        for i in np.flatnonzero(kinds == DUPLICATE).tolist():
            source = int(self._sources[self._repeated])
            lines[i] = self._kept[source]
            if self._last_use[source] == self._repeated:
                del self._kept[source]
            self._repeated += 1

    def truth(self) -> dict[str, Any]:
        """The truth about the lines, in the form that `edge.truth` describes; RuntimeError before all are read."""
        if self._made < self.shape.events:
            raise RuntimeError("the truth is known only after the last block has been read")
        shape, hours = self.shape, self._hours
        count = shape.counts()
        http, (requests, size, http_events) = self._http.read()
        worker, (cpu, worker_events) = self._worker.read()
        storage, (operations,) = self._storage.read()
        cpu_text = [f"{m // 1000}.{m % 1000:03d}" for m in cpu.tolist()]

        def table(name: str, values: list[bytes], keys: Ints, quantity: list[str], events: Ints) -> dict[str, Any]:
            return meter_table((name,), [[value.decode() for value in values]], keys, hours, quantity, events)

        return {
            "format": 1,
            "generator": msgspec.to_builtins(shape),
            "ledger": {
                "consumed": shape.events,
                "accepted": count[GOOD],
                "duplicate": count[DUPLICATE],
                "late": count[LATE],
                "invalid": count[MALFORMED],
                "unmetered": count[UNMETERED],
            },
            "numbered": self._counters.lines,
            "malformed": dict(sorted(self._malformed.items())),
            "hours": [_hour_text(self._first_hour + h) for h in range(hours)],
            "meters": {
                "http_requests": table("region", REGIONS, http, list(map(str, requests.tolist())), http_events),
                "egress_bytes": table("region", REGIONS, http, list(map(str, size.tolist())), http_events),
                "worker_cpu_ms": table("region", REGIONS, worker, cpu_text, worker_events),
                "storage_operations": table("class", CLASSES, storage, list(map(str, operations.tolist())), operations),
            },
        }


def _texts(values: list[bytes], codes: Ints) -> list[bytes]:
    return [values[code] for code in codes.tolist()]


def _hour_text(hour: int) -> str:
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _run_of(shape: Shape) -> str:
    """A mark of the whole shape: in every id, and in the name of every source that counts, so that no two runs share
    one."""
    return hashlib.blake2b(msgspec.json.encode(shape), digest_size=4).hexdigest()


def _templates(shape: Shape) -> list[bytes]:
    """One template a type."""
    start = f'{{"specversion":"1.0","id":"{_run_of(shape)}-%x","source":"edge/{shape.seed}/pop-%02d","type":"'.encode()
    middle = b'","subject":"zone-%d","time":"%bZ","data":'
    return [
        start + type_ + middle + data
        for type_, data in (
            (b"http.request", b'{"requests":%d,"bytes":%d,"region":"%b","cache":"%b"}}'),
            (b"worker.invocation", b'{"cpu_ms":%b,"region":"%b"}}'),
            (b"storage.operation", b'{"class":"%b","bytes":%d,"region":"%b"}}'),
            (b"dns.query", b'{"queries":%d,"region":"%b"}}'),
        )
    ]


def write(traffic: Traffic, path: Path, progress: Callable[[int], None] = lambda lines: None) -> dict[str, Any]:
    """Write the lines to `path` and the truth beside it; returns the truth. `progress` hears how many lines were
    added each time."""
    with path.open("wb") as file:
        for lines in traffic.blocks():
            file.write(b"\n".join(lines) + b"\n")
            progress(len(lines))
    truth = traffic.truth()
    path_of(path).write_bytes(msgspec.json.encode(truth))
    return truth
