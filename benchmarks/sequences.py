"""What an event costs that is known by a number of its source, beside one that is known by its id."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.fresh import fresh
from benchmarks.load import configuration
from processors.checkpoint import Recorder
from processors.events import Decoder
from processors.identity import DigestSet, Identities
from processors.meter import PartitionState
from processors.sequences import Numbered, SequenceDay, Sequences, identities
from processors.state import RedisSlot, connect
from processors.worker import few_collections
from stack.running import Stack

P = ParamSpec("P")
T = TypeVar("T")
Ints = NDArray[np.int64]

SOURCES = 1_000
_BASE_US = 1_790_035_200_000_000  # a midnight
_SPAN_US = 6 * 3_600_000_000  # of event time, in one day
_BATCH = 20_000  # consume_messages_max
_TIMED = 200_000
_REPEATED, _DELAYED = 0.02, 0.005  # shares of what comes twice, and of what comes a batch late
_EVENT = (
    b'{"specversion":"1.0","id":"%08x-7f3a","source":"edge/fra-%d#9f1c2b7a","type":"http.request","subject":"zone-%d",'
    b'"time":"2026-09-22T03:15:00.%03dZ","data":{"requests":1,"bytes":48211,"region":"eu","cache":"hit"}%b}'
)


class Cost(msgspec.Struct):
    """CPU microseconds an event."""

    decode_us: float
    dedupe_us: float


class Kept(msgspec.Struct):
    """The numbers of one partition after many events."""

    missing: float  # share of numbers that never come
    events: int
    sources: int
    intervals: int
    strays: int  # digests beside the intervals
    add_us: float  # CPU, an event
    memory_bytes: int  # of the columns and the indexes
    memory_bytes_bare: int  # without the strays
    redis_bytes: int  # at the end, as the server allocated it, superseded rows with it
    redis_bytes_max: int  # at any checkpoint, as written


class Dedupe(msgspec.Struct):
    by_id: Cost
    by_number: Cost
    kept: list[Kept]


def measure(directory: Path, events: int, say: Callable[[str], None]) -> Dedupe:
    """CPU of both kinds in one process, batch by batch in turn; then `events` numbers in memory and in Redis."""
    say(f"dedupe of {_TIMED:,} events each")
    by_id, by_number = fresh(_timed)
    with Stack(directory / "stack", only=("redis",), say=lambda _: None) as stack:
        url = stack.services.environ["TOLLSTREAM_REDIS__URL"]
        kept = []
        for missing in (0.0, 0.002):
            say(f"{events:,} numbers of {SOURCES:,} sources, {missing:.1%} missing")
            kept.append(fresh(_keep, url, events, missing))
    return Dedupe(by_id, by_number, kept)


# -- time


def _timed() -> tuple[Cost, Cost]:
    config = configuration()
    decoder = Decoder(config.catalogue, config.settings.limits, 0)
    ids, numbers = Identities(), Sequences(config.settings.limits.sequence_intervals_max)
    spent = dict.fromkeys(("decode ids", "ids", "decode numbers", "numbers"), 0.0)
    stamps = np.full(_BATCH, (_BASE_US + _SPAN_US) // 1000)

    def timed(name: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        began_s = time.process_time()
        answer = work(*args, **kwargs)
        spent[name] += time.process_time() - began_s
        return answer

    def number(values: list[bytes]) -> Any:
        decoded = timed("decode numbers", decoder.decode, values, stamps)
        rows = np.arange(len(values))
        found = Numbered(decoded.source, decoded.sequence, decoded.time_us, decoded.digest, decoded.sources)
        return timed("numbers", lambda: numbers.add(found.take(rows)))

    decoder.decode(_lines(0, 100, numbered=True), stamps[:100])  # imports
    few_collections()
    for start in range(0, _TIMED, _BATCH):
        decoded = timed("decode ids", decoder.decode, _lines(start, _BATCH, numbered=False), stamps)
        timed("ids", ids.add, decoded.time_us, decoded.digest)
        number(_lines(start, _BATCH, numbered=True))
    each = {name: one / _TIMED * 1e6 for name, one in spent.items()}
    return Cost(each["decode ids"], each["ids"]), Cost(each["decode numbers"], each["numbers"])


def _lines(start: int, count: int, *, numbered: bool) -> list[bytes]:
    """Events of 1,000 sources in turn; with numbers they are 47 bytes longer."""
    more = b',"sequence":"%d","sequencetype":"tollstream"' if numbered else b""
    return [
        _EVENT % (n, n % SOURCES, n % SOURCES, n % 1000, more % (n // SOURCES) if numbered else more)
        for n in range(start, start + count)
    ]


# -- space


def _keep(url: str, events: int, missing: float) -> Kept:
    config = configuration({"TOLLSTREAM_REDIS__URL": url})
    limits = config.settings.limits
    state = PartitionState(config.catalogue, limits, Decoder(config.catalogue, limits, 0))
    slot = RedisSlot(connect(url), f"numbers-{missing}", 0)
    slot.claim(0)
    recorder = Recorder(state, limits.state_segment_bytes_max)
    state.clock_ms = _BASE_US // 1000
    added = since = longest = 0
    spent_s = 0.0
    for batch in _batches(events, missing):
        began_s = time.process_time()
        new, reused = state.sequences.add(batch)
        spent_s += time.process_time() - began_s
        assert not reused.any()
        added += int(new.sum())
        state.offset += len(new)
        since += len(new)
        if since >= config.settings.processing.checkpoint_events:
            longest = max(longest, _checkpoint(recorder, slot))
            since = 0
    _checkpoint(recorder, slot)
    (day,) = state.sequences.days.values()
    return Kept(
        missing=missing,
        events=state.offset,
        sources=day.sources.count,
        intervals=len(day),
        strays=day.strays.count,
        add_us=spent_s / state.offset * 1e6,
        memory_bytes=_bytes(day, day.sources, day.strays),
        memory_bytes_bare=_bytes(day, day.sources),
        redis_bytes=sum(
            int(slot._client.memory_usage(f"{slot._prefix}seq:{one}", samples=0) or 0)
            for one in recorder.manifest.sequences
        ),
        redis_bytes_max=longest,
    )


def _checkpoint(recorder: Recorder, slot: RedisSlot) -> int:
    """As an owner does it; bytes of the log of numbers."""
    written = recorder.checkpoint(0, 0)
    slot.write(written)
    recorder.commit(written)
    length = sum(recorder.manifest.sequences.values())
    for one in recorder.compact_sequences() if recorder.wants_sequence_compaction() else ():
        slot.put(one)
    return length


def _bytes(day: SequenceDay, *indexes: DigestSet) -> int:
    columns = (day.newest, day.count, day.strayed, day.starts, day.ends)
    return sum(column.nbytes for column in columns) + sum(one._keys.nbytes + one._table.nbytes for one in indexes)


def _batches(events: int, missing: float) -> Iterator[Numbered]:
    """Sources in random order, each counting; some numbers come a batch late, some never, and some twice."""
    rng = np.random.default_rng(1)
    digests = rng.integers(0, 2**64, (SOURCES, 2), np.uint64, endpoint=False)
    heads, late = np.zeros(SOURCES, np.int64), np.empty((2, 0), np.int64)
    for start in range(0, events, _BATCH):
        source = rng.integers(0, SOURCES, min(_BATCH, events - start))
        order = np.argsort(source, kind="stable")
        counts = np.bincount(source, minlength=SOURCES)
        number = np.empty(len(source), np.int64)
        within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        number[order] = np.repeat(heads, counts) + within
        heads += counts
        there = rng.random(len(source)) >= missing
        waits = there & (rng.random(len(source)) < _DELAYED)
        again = rng.random(len(source)) < _REPEATED
        now = there & ~waits
        sources = np.concatenate((late[0], source[now], source[again & now]))
        numbers = np.concatenate((late[1], number[now], number[again & now]))
        late = np.stack((source[waits], number[waits]))
        time_us = np.full(len(sources), _BASE_US + start * _SPAN_US // events)
        yield Numbered(sources, numbers, time_us, identities(digests[sources], numbers), digests)
