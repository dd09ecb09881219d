"""What each step of the two stages costs, alone in one process, without any service."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.load import SEED, configuration
from config.loader import Config
from edge.generate import Shape, Traffic
from edge.lines import subject_of
from edge.murmur2 import partition_of
from processors.checkpoint import Recorder
from processors.columns import rated_columns, usage_columns
from processors.events import Decoded, Decoder
from processors.meter import Batch, PartitionState
from processors.outputs import changed_rows
from processors.rate import Rater
from processors.window_rows import WindowRows
from processors.worker import few_collections

P = ParamSpec("P")
T = TypeVar("T")

_BATCH = 5000  # messages of one partition: what a worker with four of them takes at once
_CHECKPOINT_BATCHES = 2  # 40,000 messages of all four: near `checkpoint_events`
_RATE_CHECKPOINTS = 2  # one second's worth at 80,000 events a second
_FOLD, _DECODE = "fold", "decode"


class Step(msgspec.Struct):
    """CPU seconds of one step in all, and what it was about."""

    stage: str
    name: str
    cpu_s: float
    items: int
    item: str  # event, row


class Steps(msgspec.Struct):
    events: int
    rows: int  # changed partials sent to stage 2
    rated: int  # rated rows
    steps: list[Step]


class _Stopwatch:
    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    def time(self, name: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        began_s = time.process_time()
        answer = work(*args, **kwargs)
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - began_s
        return answer


class _TimedDecoder(Decoder):
    """Its time is part of the fold's, so it is taken apart from it."""

    watch: _Stopwatch

    def decode(self, values: Sequence[bytes | None], timestamps_ms: NDArray[np.int64]) -> Decoded:
        return self.watch.time(_DECODE, super().decode, values, timestamps_ms)


class _Partition:
    def __init__(self, config: Config, watch: _Stopwatch, values: list[bytes], now_ms: int) -> None:
        limits, processing = config.settings.limits, config.settings.processing
        decoder = _TimedDecoder(config.catalogue, limits, processing.skew_ms)
        decoder.watch = watch
        self.state = PartitionState(config.catalogue, limits, decoder)
        self.recorder = Recorder(self.state, limits.state_segment_bytes_max)
        self._values, self._now_ms = values, now_ms

    def batch(self, start: int) -> Batch:
        values = self._values[start : start + _BATCH]
        return Batch(values, np.arange(start, start + len(values)), np.full(len(values), self._now_ms))


def measure(events: int) -> Steps:
    """Run the load through both stages in this process, step by step. Alters the collector as a worker does."""
    config, watch = configuration(), _Stopwatch()
    now = datetime.now(UTC)
    parts = _parts(events, now, config.settings.kafka.partitions)
    partitions = [_Partition(config, watch, values, int(now.timestamp() * 1000)) for values in parts]
    rater = Rater(config.catalogue, lambda account: True)
    Decoder(config.catalogue, config.settings.limits, 0).decode(parts[0][:1000], np.zeros(1000, np.int64))  # imports
    few_collections()
    rows = rated = 0
    longest = max(map(len, parts))
    starts = range(0, longest, _BATCH)
    for turn, start in enumerate(starts, 1):
        for one in partitions:
            watch.time(_FOLD, one.state.fold, one.batch(start))
        last = start == starts[-1]
        if turn % _CHECKPOINT_BATCHES == 0 or last:
            changed = _checkpoint(config, watch, partitions)
            rows += len(changed)
            watch.time("merge", rater.add, watch.time("encode rows", _encode, changed))
        if turn % (_CHECKPOINT_BATCHES * _RATE_CHECKPOINTS) == 0 or last:
            priced = watch.time("rate", rater.rate)
            watch.time("columns of rated rows", rated_columns, priced)
            rated += len(priced)
    watch.cpu_s[_FOLD] -= watch.cpu_s[_DECODE]
    return Steps(events, rows, rated, _steps(watch.cpu_s, events, rows, rated))


def _checkpoint(config: Config, watch: _Stopwatch, partitions: list[_Partition]) -> WindowRows:
    changed = WindowRows()
    for number, one in enumerate(partitions):
        changed += watch.time("output rows", changed_rows, one.state, "topic", number)
        written = watch.time("checkpoint", one.recorder.checkpoint, 0, 0)
        watch.time("checkpoint", one.recorder.commit, written)
    watch.time("columns of usage rows", usage_columns, changed, config.catalogue)
    return changed


def _encode(rows: WindowRows) -> list[bytes]:
    return [value for _, _, value in rows.messages(b"token")]


def _steps(cpu_s: dict[str, float], events: int, rows: int, rated: int) -> list[Step]:
    order = [
        ("meter", _DECODE, events, "event"),
        ("meter", _FOLD, events, "event"),
        ("meter", "checkpoint", events, "event"),
        ("meter", "output rows", rows, "row"),
        ("meter", "columns of usage rows", rows, "row"),
        ("meter", "encode rows", rows, "row"),
        ("rate", "merge", rows, "row"),
        ("rate", "rate", rated, "rated row"),
        ("rate", "columns of rated rows", rated, "rated row"),
    ]
    return [Step(stage, name, cpu_s[name], items, item) for stage, name, items, item in order]


def _parts(events: int, now: datetime, partitions: int) -> list[list[bytes]]:
    """The seeded load by partition, as the emitter places it."""
    parts: list[list[bytes]] = [[] for _ in range(partitions)]
    for lines in Traffic(Shape(seed=SEED, events=events, base_time=now)).blocks():
        for line in lines:
            subject, _ = subject_of(line)
            parts[partition_of((subject or "").encode(), partitions)].append(line)
    return parts
