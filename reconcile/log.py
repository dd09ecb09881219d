"""Reads one partition of the log from an offset on, with a plain consumer that belongs to no group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from config.settings import Kafka
from sinks.errors import Retryable

_TAKE = 10_000
_LISTEN_S = 0.1
_SILENCE_S = 30.0  # of a broker that has neither messages nor the end for us
_RETRY_MS = 500

Message = tuple[int, int, bytes | None]  # offset, record timestamp in ms, value


class Log:
    """One topic, read partition by partition. Nothing is committed and no group is joined."""

    def __init__(self, kafka: Kafka) -> None:
        self._topic = kafka.events_topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": f"{kafka.group}-reconcile",  # the client wants one; it is never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "log_level": 2,
            }
        )

    def low(self, partition: int) -> int:
        """The first offset that is there."""
        return int(self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=30)[0])

    def first_at(self, partition: int, timestamp_ms: int) -> int | None:
        """The first offset of at least this record timestamp; None where there is none."""
        asked = [TopicPartition(self._topic, partition, max(timestamp_ms, 0))]
        offset = self._consumer.offsets_for_times(asked, timeout=30)[0].offset
        return int(offset) if offset >= 0 else None

    def read(self, partition: int, start: int, end: int) -> Iterator[Message]:
        """Messages with start <= offset < end, or up to the end of the log if that comes first.

        Raises KafkaException, and Retryable where the broker falls silent.
        """
        if start >= end:
            return
        self._consumer.assign([TopicPartition(self._topic, partition, start)])
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
                        if offset >= end:
                            return
                        yield offset, message.timestamp()[1], message.value()
                        if offset + 1 >= end:
                            return
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return
                    elif not error.retriable():
                        raise KafkaException(error)
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()
