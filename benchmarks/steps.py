"""What each step of the two stages costs, alone in one process, without any service."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

import msgspec
import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message
from numpy.typing import NDArray

from benchmarks.load import FORMS, SEED, configuration
from config.loader import Config
from edge.emitter import MESSAGE_BYTES_MAX
from edge.forms import form_of
from edge.generate import Shape, Traffic
from edge.lines import subject_of
from edge.murmur2 import partition_of
from processors.checkpoint import Recorder
from processors.columns import rated_columns, usage_columns
from processors.consume import batch_of
from processors.events import Decoded, Decoder
from processors.homes import Homes
from processors.meter import PartitionState
from processors.outputs import changed_rows
from processors.rate import Rater
from processors.sent import Sent
from processors.window_rows import WindowRows
from processors.worker import few_collections

P = ParamSpec("P")
T = TypeVar("T")

_BATCH = 5000  # events of one partition: what a worker with four of them takes at once
_CHECKPOINT_BATCHES = 2  # 40,000 events of all four: near `checkpoint_events`
_RATE_CHECKPOINTS = 2  # one second's worth at 80,000 events a second
_TAKE, _FOLD, _DECODE = "messages to a batch", "fold", "decode"


class Step(msgspec.Struct):
    """CPU seconds of one step in all, and what it was about."""

    stage: str
    name: str
    cpu_s: float
    items: int
    item: str  # event, row


class Steps(msgspec.Struct):
    """Of one form of events, with the compiled kernel or without."""

    form: str
    kernel: bool
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
    """`turns`: its messages, as they are taken together."""

    def __init__(
        self, number: int, config: Config, watch: _Stopwatch, turns: list[list[Message]], *, kernel: bool
    ) -> None:
        limits, processing = config.settings.limits, config.settings.processing
        decoder = _TimedDecoder(config.catalogue, limits, processing.skew_ms, kernel=kernel)
        decoder.watch = watch
        self.state = PartitionState(config.catalogue, limits, decoder)
        self.recorder = Recorder(self.state, limits.state_segment_bytes_max)
        self.sent = Sent("topic", number, Homes(config.settings.kafka.windows_partitions))
        self.turns = turns


def measure(events: int, form: str = "json", *, kernel: bool = False) -> Steps:
    """Run the load through both stages in this process, step by step. Alters the collector as a worker does."""
    config, watch = configuration(), _Stopwatch()
    now = datetime.now(UTC)
    logs = _logs(events, now, config.settings.kafka.partitions, form)
    partitions = [_Partition(number, config, watch, turns, kernel=kernel) for number, turns in enumerate(logs)]
    rater = Rater(config.catalogue, lambda account: True)
    first = batch_of(logs[0][0])
    Decoder(config.catalogue, config.settings.limits, 0).decode(first.values, first.timestamp_ms)  # imports
    few_collections()
    rows = rated = 0
    longest = max(map(len, logs))
    for turn in range(longest):
        for one in partitions:
            if turn < len(one.turns):
                watch.time(_FOLD, one.state.fold, watch.time(_TAKE, batch_of, one.turns[turn]))
        last = turn == longest - 1
        if (turn + 1) % _CHECKPOINT_BATCHES == 0 or last:
            values = _checkpoint(config, watch, partitions)
            rows += watch.time("merge", rater.add, values)
        if (turn + 1) % (_CHECKPOINT_BATCHES * _RATE_CHECKPOINTS) == 0 or last:
            priced = watch.time("rate", rater.rate)
            watch.time("columns of rated rows", rated_columns, priced)
            rated += len(priced)
    watch.cpu_s[_FOLD] -= watch.cpu_s[_DECODE]
    return Steps(form, kernel, events, rows, rated, _steps(watch.cpu_s, events, rows, rated))


def _checkpoint(config: Config, watch: _Stopwatch, partitions: list[_Partition]) -> list[bytes]:
    """The records for stage 2."""
    changed, values = WindowRows(), list[bytes]()
    for number, one in enumerate(partitions):
        rows = watch.time("output rows", changed_rows, one.state, "topic", number)
        written = watch.time("checkpoint", one.recorder.checkpoint, 0, 0)
        watch.time("checkpoint", one.recorder.commit, written)
        records = watch.time("encode rows", one.sent.records, one.state, rows, b"token")
        one.sent.acknowledged(one.state.offset)
        values += [record.value for record in records]
        changed += rows
    watch.time("columns of usage rows", usage_columns, changed, config.catalogue)
    return values


def _steps(cpu_s: dict[str, float], events: int, rows: int, rated: int) -> list[Step]:
    order = [
        ("meter", _TAKE, events, "event"),
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


def _logs(events: int, now: datetime, partitions: int, form: str) -> list[list[list[Message]]]:
    """The seeded load as the emitter places it: of each partition its messages, cut as they are taken together."""
    lines: list[list[bytes]] = [[] for _ in range(partitions)]
    for block in Traffic(Shape(seed=SEED, events=events, base_time=now)).blocks():
        for line in block:
            subject, _ = subject_of(line)
            lines[partition_of((subject or "").encode(), partitions)].append(line)
    stamp = TIMESTAMP_LOG_APPEND_TIME, int(now.timestamp() * 1000)
    logs = []
    for partition, some in enumerate(lines):
        turns: list[list[Message]] = [[] for _ in range(-(-len(some) // _BATCH))]
        for offset, (place, value) in enumerate(_messages(some, form)):
            turns[place // _BATCH].append(Message("events", partition, offset, None, value, timestamp=stamp))
        logs.append(turns)
    return logs


def _messages(lines: Sequence[bytes], form: str) -> Iterator[tuple[int, bytes]]:
    """(place of the line that it was sent with, message): the lines of one partition in a form's messages."""
    one = FORMS[form]
    item, batches = form_of(one.format, one.batch, MESSAGE_BYTES_MAX)
    for place, line in enumerate(lines):
        value, part = item(line, subject_of(line)[1])
        if one.batch == 1 or part is None:
            yield place, value
        else:
            yield from ((place, message) for _, message in batches.add(0, part, len(value)))
    yield from ((len(lines) - 1, message) for _, message in batches.rest())
