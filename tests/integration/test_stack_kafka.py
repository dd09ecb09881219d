"""What Tollstream asks of a broker, over every kind that there is; and what only a real Kafka gives."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it is public

import stack

if TYPE_CHECKING:
    from tests.conftest import Broker

WAIT_S = 30
LONG_AGO_MS = 1_000_000_000_000


def create(bootstrap: str, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # has to live until the answer is here
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(WAIT_S)


def produce(bootstrap: str, topic: str, values: range, timestamp_ms: int = 0) -> list[tuple[int, bytes]]:
    """Produce the numbers, at the time 0: now. Returns (offset, value) of what was acknowledged."""
    done: list[tuple[int, bytes]] = []

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        done.append((message.offset() or 0, message.value() or b""))

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, b"%d" % value, timestamp=timestamp_ms, on_delivery=on_delivery)
    assert producer.flush(WAIT_S) == 0
    return done


def read(bootstrap: str, topic: str, **config: object) -> list[Message]:
    """All of partition 0, up to its end."""
    settings = {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "error"}
    consumer = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False, **config})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Message] = []
    while not found or not found[-1].error():  # consume() waits for a full batch, also at the end: so not long
        found += consumer.consume(1000, 0.1)
    consumer.close()
    end = found.pop().error()
    assert end and end.code() == KafkaError._PARTITION_EOF, end
    return found


def topic_id(bootstrap: str, topic: str) -> str:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    return str(admin.describe_topics(TopicCollection([topic]))[topic].result(WAIT_S).topic_id)


def test_what_is_produced_idempotently_is_read_once_in_order_up_to_the_end(kafka: "Broker", unique: str) -> None:
    create(kafka.bootstrap, unique)
    acknowledged = produce(kafka.bootstrap, unique, range(1000))
    assert [(m.offset(), m.value()) for m in read(kafka.bootstrap, unique)] == acknowledged
    assert [value for _, value in acknowledged] == [b"%d" % value for value in range(1000)]


def test_a_group_goes_on_from_the_offset_that_it_committed(kafka: "Broker", unique: str) -> None:
    create(kafka.bootstrap, unique)
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": unique, "enable.auto.commit": False}
    first = Consumer(settings)
    first.commit(offsets=[TopicPartition(unique, 0, 7)], asynchronous=False)
    first.close()
    [committed] = Consumer(settings).committed([TopicPartition(unique, 0)], timeout=WAIT_S)
    assert committed.offset == 7


def test_a_topic_has_an_id(kafka: "Broker", unique: str) -> None:
    create(kafka.bootstrap, unique)
    assert topic_id(kafka.bootstrap, unique) == topic_id(kafka.bootstrap, unique)
    create(kafka.bootstrap, f"{unique}.other")
    assert topic_id(kafka.bootstrap, unique) != topic_id(kafka.bootstrap, f"{unique}.other")


def test_only_the_embedded_broker_ignores_log_append_time(kafka: "Broker", unique: str) -> None:
    """When this fails on it, the doctor's warning can go."""
    create(kafka.bootstrap, unique, **{"message.timestamp.type": "LogAppendTime"})
    produce(kafka.bootstrap, unique, range(1), timestamp_ms=LONG_AGO_MS)
    [message] = read(kafka.bootstrap, unique)
    assert (message.timestamp()[1] == LONG_AGO_MS) == (kafka.kind == "embedded")


def test_only_the_embedded_broker_shows_aborted_records(kafka: "Broker", unique: str) -> None:
    """So nothing of ours may lean on read_committed there."""
    create(kafka.bootstrap, unique)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": unique})
    producer.init_transactions(WAIT_S)
    for value, end in ((b"kept", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(unique, value)
        producer.flush(WAIT_S)
        end(WAIT_S)
    values = [message.value() for message in read(kafka.bootstrap, unique, **{"isolation.level": "read_committed"})]
    assert values == ([b"kept", b"aborted"] if kafka.kind == "embedded" else [b"kept"])


@pytest.mark.apache
def test_apache_kafka_keeps_topics_and_acknowledged_records_through_a_kill_and_through_a_restart(
    tmp_path: Path,
) -> None:
    with stack.Stack(tmp_path, "apache", only=["kafka"]) as running:
        bootstrap = running.services.environ["TOLLSTREAM_KAFKA__BOOTSTRAP"]
        create(bootstrap, "t")
        identity = topic_id(bootstrap, "t")
        acknowledged = produce(bootstrap, "t", range(1000))
        running.kill("kafka")
        running.restart("kafka")
        assert [(m.offset(), m.value()) for m in read(bootstrap, "t")] == acknowledged
        acknowledged += produce(bootstrap, "t", range(1000, 1010))
    with stack.running(tmp_path, "apache", only=["kafka"]) as services:
        bootstrap = services.environ["TOLLSTREAM_KAFKA__BOOTSTRAP"]
        assert [(m.offset(), m.value()) for m in read(bootstrap, "t")] == acknowledged
        assert topic_id(bootstrap, "t") == identity
