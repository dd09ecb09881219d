"""A consumer that waits for something pauses its partitions; no rebalance meanwhile may leave one paused for ever."""

from typing import Any
from unittest import mock

from confluent_kafka import Consumer, Producer
from pipeline import wait_for

from config.settings import Kafka
from processors.consume import PartitionConsumer
from sinks.topics import create_topics


def test_a_partition_that_left_while_paused_is_read_when_it_comes_back(kafka: Any, unique: str) -> None:
    settings = Kafka(bootstrap=kafka.bootstrap, group=unique, events_topic=f"{unique}.events", partitions=2)
    create_topics(settings)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for partition in range(2):
        producer.produce(settings.events_topic, b"x", b"", partition)
    assert producer.flush(30) == 0

    def member() -> PartitionConsumer:
        return PartitionConsumer(
            settings,
            settings.events_topic,
            unique,
            lambda partitions: dict.fromkeys(partitions, 0),
            lambda partitions: None,
            leaves=True,
            client=Consumer,
        )

    first = member()
    read: set[int] = set()
    wait_for(lambda: read.update(first.take(10, 0.1)) or len(read) == 2, "both partitions")
    second = member()

    def given() -> bool:
        with mock.patch("processors.consume._EARLY_MAX", 0):  # as after a long wait
            first.keep_alive()
        second.take(10, 0.05)
        return len(second.position) == 1 and len(first.position) == 1

    wait_for(given, "one partition to go")
    back = set(second.position)
    second.close()
    read.clear()
    wait_for(lambda: read.update(first.take(10, 0.1)) or back <= read, "the messages of the one that came back")
    first.close()
