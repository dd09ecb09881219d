"""What an event costs when much was there before it: ids of its partition, and keys. The fold alone, in one process."""

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from benchmarks.budget import Budget
from benchmarks.fresh import fresh
from benchmarks.load import configuration
from config.loader import Config
from processors.events import Decoder
from processors.identity import Identities
from processors.meter import Batch, PartitionState
from processors.worker import few_collections

IDS = (1_000_000, 10_000_000, 100_000_000)
KEYS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_HOURS = 24  # that the ids lie in: as many as are open at the demo's lateness
_HOUR_MS = 3_600_000
_BASE_MS = 1_790_000_000_000  # any instant: the fold's clock is the log's
_BATCH = 20_000
_TIMED = 300_000
_IDS_STEP = 250_000
_REGIONS = ("ap", "eu", "sa", "us")
_IDS_S, _KEYS_S = 0.5e-6, 8e-6  # to fill it, about, for each
_EVENT = (
    '{"specversion":"1.0","id":"%s-%x","source":"edge/1/pop-00","type":"worker.invocation","subject":"zone-%d",'
    '"time":"%sZ","data":{"cpu_ms":12.5,"region":"%s"}}'
)


class Point(msgspec.Struct):
    """CPU microseconds of decode and fold, an event, with so much there before."""

    there: int  # ids, or keys with a partial each
    event_us: float
    worst_batch_ms: float  # wall, of one batch of 20,000


def histories(counts: Sequence[int], budget: Budget, say: Callable[[str], None]) -> list[Point]:
    """With so many ids in the last 24 hours, random ones as digests are; events of 1,000 keys."""
    found = []
    for ids in counts:
        if budget.affords(f"cost with {ids:,} ids", 5 + ids * _IDS_S):
            say(f"history: {ids:,} ids")
            found.append(fresh(_history, ids))
    return found


def keys(counts: Sequence[int], budget: Budget, say: Callable[[str], None]) -> list[Point]:
    """With so many keys that have a partial in the open hour; each event is of one of them at random. The ids that
    brought them are forgotten: what ids cost is the other sweep."""
    found = []
    for count in counts:
        if budget.affords(f"cost with {count:,} keys", 5 + count * _KEYS_S):
            say(f"keys: {count:,}")
            found.append(fresh(_keys, count))
    return found


def _history(ids: int) -> Point:
    config = configuration()
    state = _state(config)
    random = np.random.default_rng(1)
    for start in range(0, ids, _IDS_STEP):
        some = min(_IDS_STEP, ids - start)
        hours = np.sort(random.integers(0, _HOURS, some))
        time_us = (_BASE_MS - hours * _HOUR_MS) * 1000
        state.identities.add(time_us, random.integers(0, 2**64, (some, 2), np.uint64))
    return _timed(state, ids, random.integers(0, 1_000, _TIMED), random.integers(0, _HOURS, _TIMED))


def _keys(count: int) -> Point:
    state = _state(configuration())
    for batch in _batches("fill", np.arange(count), np.zeros(count, np.int64), 0):
        state.fold(batch)
    state.identities = Identities(compiled=state.decoder.compiled)
    random = np.random.default_rng(1)
    return _timed(state, count, random.integers(0, count, _TIMED), np.zeros(_TIMED, np.int64))


def _state(config: Config) -> PartitionState:
    limits, processing = config.settings.limits, config.settings.processing
    return PartitionState(config.catalogue, limits, Decoder(config.catalogue, limits, processing.skew_ms))


def _timed(state: PartitionState, there: int, series: np.ndarray, hours: np.ndarray) -> Point:
    """The first batch is not counted: imports, and pages that it touches first."""
    few_collections()
    cpu_s, worst_s, count = 0.0, 0.0, 0
    for number, batch in enumerate(_batches("timed", series, hours, state.offset)):
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        state.fold(batch)
        if number:
            cpu_s += time.process_time() - began_cpu_s
            worst_s = max(worst_s, time.monotonic() - began_s)
            count += len(batch.values)
    assert state.ledger.accepted == state.ledger.consumed
    return Point(there, cpu_s / count * 1e6, worst_s * 1000)


def _batches(name: str, series: np.ndarray, hours: np.ndarray, offset: int) -> Iterator[Batch]:
    """One event for each of `series` (int64[n]) in its hour before the base, single messages."""
    stamps = [np.datetime_as_string(np.datetime64(_BASE_MS - hour * _HOUR_MS, "ms"), unit="ms") for hour in range(24)]
    for start in range(0, len(series), _BATCH):
        some, when = series[start : start + _BATCH].tolist(), hours[start : start + _BATCH].tolist()
        values = [
            (_EVENT % (name, start + n, one >> 2, stamps[hour], _REGIONS[one & 3])).encode()
            for n, (one, hour) in enumerate(zip(some, when, strict=True))
        ]
        offsets = np.arange(offset + start, offset + start + len(values))
        yield Batch(values, offsets, np.full(len(values), _BASE_MS, np.int64))
