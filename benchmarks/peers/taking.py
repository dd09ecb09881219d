"""Messages off the topic in the cheapest way there is: what every hand-written consumer can have."""

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.peers.job import Job, Watch

_PATIENCE_S = 30.0


class Taker:
    """A consumer of all partitions from their start, in batches, with room for as much as it can fetch ahead."""

    def __init__(self, job: Job, group: str) -> None:
        self._job = job
        self._consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "queued.min.messages": 200_000,
                "queued.max.messages.kbytes": 131_072,
                "fetch.queue.backoff.ms": 2,  # the default of 1000 starves a short queue
                "log_level": 2,
            }
        )
        self._consumer.assign([TopicPartition(job.topic, partition, 0) for partition in range(job.partitions)])

    def batches(self, watch: Watch, most: int) -> Iterator[list[Any]]:
        """All messages, up to `most` at a time; begins the watch. RuntimeError if they don't come."""
        taken, heard_at = 0, time.monotonic()
        while taken < self._job.events:
            if not taken:
                watch.begin()
            messages = self._consumer.consume(most, 0.5)
            for message in messages:
                if message.error() is not None:
                    raise KafkaException(message.error())
            if messages:
                taken += len(messages)
                heard_at = time.monotonic()
                yield messages
            elif time.monotonic() - heard_at > _PATIENCE_S:
                raise RuntimeError(f"the topic gave {taken:,} of {self._job.events:,} messages and then nothing")

    def commit(self, messages: list[Any]) -> None:
        """Everything up to these is done; waits for the broker."""
        after = {message.partition(): message.offset() + 1 for message in messages}
        self._consumer.commit(offsets=[TopicPartition(self._job.topic, *place) for place in after.items()])

    def close(self) -> None:
        self._consumer.close()
