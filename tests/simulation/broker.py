"""Kafka's side: topics of partitions, with gaps, compaction, retention, truncation, and topics made anew."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple


class Record(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Partition:
    """One log. `low` is its first offset, `end` the one behind its last record."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.low = self.end = 0
        self.consumed = 0  # behind the last record that anybody was given

    def append(self, key: bytes | None, value: bytes | None, timestamp_ms: int = 0, offset: int = -1) -> None:
        """`offset` where the sender's log says it; never one that is taken, or the recount would be of another log."""
        assert offset < 0 or offset >= self.end, f"offset {offset} is below the log's end {self.end}"
        offset = max(offset, self.end)
        self.records.append(Record(offset, timestamp_ms, key, value))
        self.end = offset + 1

    def read(self, offset: int, most: int) -> list[Record]:
        at = bisect_left(self.records, offset, key=lambda record: record.offset)
        return self.records[at : at + most]

    def first_at(self, timestamp_ms: int) -> int:
        """-1 where there is none, as the broker answers."""
        return next((one.offset for one in self.records if one.timestamp_ms >= timestamp_ms), -1)

    def compact(self, below: int) -> None:
        """Keep the last record of each key; those at and above `below` are not looked at yet."""
        last = {record.key: record.offset for record in self.records}
        self.records = [one for one in self.records if one.offset >= below or last[one.key] == one.offset]

    def forget(self, below: int) -> None:
        """Retention."""
        self.low = max(self.low, below)
        self.records = [record for record in self.records if record.offset >= self.low]

    def truncate(self, end: int) -> None:
        """The log's end goes back, as after an unclean election."""
        self.records = [record for record in self.records if record.offset < end]
        self.end = max(min(self.end, end), self.low)


class Topic:
    def __init__(self, topic_id: str, partitions: int) -> None:
        self.id = topic_id
        self.partitions = [Partition() for _ in range(partitions)]


class Broker:
    """All topics. `trusted`: False for one whose end offsets and times are wrong, as the embedded one's are."""

    def __init__(self, rng: random.Random, counts: dict[str, int], *, trusted: bool) -> None:
        self.rng, self.trusted = rng, trusted
        self.topics = {name: Topic(f"T-{name}", count) for name, count in counts.items()}
        self.now_ms: Callable[[], int] = lambda: 0  # its clock, which stamps what is appended
        self.taken: Callable[[str, int, Record], None] = lambda topic, partition, record: None  # told of each append

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        log = self.topics[topic].partitions[partition]
        log.append(key, value, self.now_ms())
        self.taken(topic, partition, log.records[-1])

    def make_anew(self, topic: str) -> None:
        """Deleted and created again under the same name."""
        old = self.topics[topic]
        self.topics[topic] = Topic(old.id + "'", len(old.partitions))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        log = self.topics[topic].partitions[partition]
        return log.low, log.end if self.trusted else max(log.low, log.end - self.rng.randint(0, 3))

    def first_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        return self.topics[topic].partitions[partition].first_at(timestamp_ms) if self.trusted else 0
