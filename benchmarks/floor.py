"""The least that any consumer pays: take the messages, count them, look at nothing."""

import time

import msgspec
from confluent_kafka import Consumer, TopicPartition

_MESSAGES_MAX = 2000  # of one call; more is no faster
_PATIENCE_S = 30.0


class Floor(msgspec.Struct):
    messages: int
    wall_s: float  # from the first messages taken to the last
    cpu_s: float  # of the consumer's process, all its threads

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a message."""
        return self.cpu_s / self.messages * 1e6


def count(bootstrap: str, topic: str, partitions: int, messages: int) -> Floor:
    """Take so many messages from the start of a topic. RuntimeError if they don't come."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmark-floor",  # required by the client; never joined
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,  # these three as the processors have them
            "queued.max.messages.kbytes": 131_072,
            "fetch.queue.backoff.ms": 2,
            "log_level": 2,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    taken, began_at, began_cpu_s = 0, 0.0, 0.0
    heard_at = time.monotonic()
    while taken < messages:
        at, cpu_s = time.monotonic(), time.process_time()
        some = len(consumer.consume(_MESSAGES_MAX, 1.0))
        if some and not taken:
            began_at, began_cpu_s = at, cpu_s
        taken += some
        heard_at = time.monotonic() if some else heard_at
        if time.monotonic() - heard_at > _PATIENCE_S:
            raise RuntimeError(f"{topic} gave {taken:,} of {messages:,} messages and then nothing")
    floor = Floor(taken, time.monotonic() - began_at, time.process_time() - began_cpu_s)
    consumer.close()
    return floor
