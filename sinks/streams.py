"""Topics read from end to end, message by message, by those who rebuild something; and where their partitions end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from config.settings import Kafka
from sinks.errors import Retryable
from sinks.topics import ends_are_trusted

_TAKE = 10_000
_LISTEN_S = 0.1
_SILENCE_S = 30.0
_RETRY_MS = 500
_REQUEST_S = 30


class Message(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None


class TopicReader:
    """One topic; joins no group and commits nothing. Its calls raise KafkaException, and Retryable on silence."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._topic, self._trusted = topic, ends_are_trusted(kafka)
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": f"{kafka.group}-reader",  # the client wants one; it is never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )

    def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset, end offset); the end of the embedded broker is not to be trusted."""
        low, high = self._consumer.get_watermark_offsets(self._place(partition), timeout=_REQUEST_S)
        return low, high

    def first_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first offset of at least this record timestamp; None where there is none."""
        asked = [self._place(partition, max(timestamp_ms, 0))]
        offset = self._consumer.offsets_for_times(asked, timeout=_REQUEST_S)[0].offset
        return int(offset) if offset >= 0 else None

    def messages(self, partition: int, start: int | None = None) -> Iterator[Message]:
        """From an offset (None: the first) to the end that the partition had at the call, or has when it is reached."""
        low, high = self.bounds(partition)
        start = low if start is None else start
        if self._trusted and start >= high:
            return
        self._consumer.assign([self._place(partition, start)])
        heard_at = time.monotonic()
        try:
            while True:
                found: list[Any] = self._consumer.consume(_TAKE, _LISTEN_S)
                if found:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > _SILENCE_S:
                    raise Retryable(f"Kafka: {self._topic} gave nothing for {_SILENCE_S:.0f} s", _RETRY_MS)
                for message in found:
                    error = message.error()
                    if error is None:
                        offset = message.offset()
                        yield Message(offset, message.timestamp()[1], message.key() or b"", message.value())
                        if self._trusted and offset + 1 >= high:
                            return
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                    elif not error.retriable():
                        raise KafkaException(error)
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()

    def _place(self, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset)
