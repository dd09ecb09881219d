"""Kafka as a sink: topics with the settings the protocol needs, and producers for which acknowledged means durable."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from config.settings import EMBEDDED_CLUSTER, Kafka
from sinks.errors import Retryable

_RETRY_MS = 500
_REQUEST_S = 30
# Retriable, though the client does not always say so.
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._DESTROY_BROKER,  # the connection was replaced while we asked
        KafkaError._UNKNOWN_PARTITION,  # of a topic that was there: the broker does not know it yet
    }
)
_LISTEN_S = 0.1  # `consume` waits this long for a full batch, even when the end has been reached
_DAY_MS = 86_400_000
LETTER_RAW_BYTES_MAX = 2**20  # of a refused message, Kafka's default limit; more of it would not fit its topic
_LETTER_BYTES_MAX = 2 * LETTER_RAW_BYTES_MAX  # base64 in JSON makes it 1.4 times as long
_ANY_BYTES = 1_000_000_000  # librdkafka's highest: the topic decides what it takes, not our client
_NEVER = 2**63  # above every offset


def connection(settings: Kafka) -> dict[str, Any]:
    """What every client of ours needs to know of the brokers."""
    return {"bootstrap.servers": settings.bootstrap, "socket.timeout.ms": settings.socket_timeout_ms}


def passing(error: KafkaException) -> Retryable | None:
    """What to raise instead where the broker is only away, or has only just started."""
    kind = error.args[0]
    if not kind.retriable() and kind.code() not in _PASSING:
        return None
    return Retryable(f"Kafka: {kind}; is the broker up? see `tollstream doctor`", _RETRY_MS)


def admin(settings: Kafka) -> AdminClient:
    """An admin client that says nothing on stderr while a broker is away; its calls raise instead."""
    return AdminClient({**connection(settings), "log_level": 2})


def topic_settings(settings: Kafka, log_reach_ms: int = 0) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and settings of every topic, as `doctor` checks them and `create_topics` makes them.

    `log_reach_ms`: how far back a restore reads the events, lateness plus a day plus skew.
    """
    days = {"retention.ms": str(max(35 * _DAY_MS, log_reach_ms + 30 * _DAY_MS))}  # a month to look back beyond it
    kept = {"retention.ms": "-1"}
    letters = {**kept, "max.message.bytes": str(_LETTER_BYTES_MAX)}
    compacted = {"cleanup.policy": "compact"}
    stamped = {"message.timestamp.type": "LogAppendTime"}  # the clock is the broker's, not the producers'
    parts, accounts = settings.partitions, settings.windows_partitions
    return {
        settings.events_topic: (parts, {**days, **stamped}),
        settings.windows_topic: (accounts, {**compacted, **stamped}),  # restart of the rate stage reads it whole
        settings.rated_topic: (accounts, compacted),
        settings.alerts_topic: (1, kept),
        settings.late_topic: (parts, letters),  # what a customer used is kept until somebody deals with it
        settings.dead_letter_topic: (parts, letters),
        settings.catalogue_topic: (1, compacted),
        settings.marks_topic: (1, compacted),
    }


def create_topics(settings: Kafka, log_reach_ms: int = 0) -> list[str]:
    """Make the topics that are not there yet; returns their names. Never changes one that is there."""
    client = admin(settings)
    there = _metadata(client).topics
    wanted = {name: spec for name, spec in topic_settings(settings, log_reach_ms).items() if name not in there}
    made = []
    for name, (partitions, config) in wanted.items():
        new = NewTopic(name, partitions, settings.replication, config=config)
        try:
            client.create_topics([new])[name].result(_REQUEST_S)
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
    return made


def topic_id(settings: Kafka, topic: str) -> str:
    """The broker's own id of a topic: a topic made again under the same name has another one.

    Retryable where the broker is away, KafkaException where the topic is not there.
    """
    client = admin(settings)  # named: an answer never comes once its client is collected
    try:
        return str(client.describe_topics(TopicCollection([topic]))[topic].result(_REQUEST_S).topic_id)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise
        raise passing(error) or error from error


def partition_count(settings: Kafka, topic: str) -> int:
    """KafkaException where the topic is not there."""
    found = _metadata(admin(settings), topic).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return len(found.partitions)


def ends_are_trusted(settings: Kafka) -> bool:
    """Whether the broker's end offsets are right; those of the embedded one are not."""
    return bool(_metadata(admin(settings)).cluster_id != EMBEDDED_CLUSTER)


def _metadata(client: AdminClient, topic: str | None = None) -> Any:
    try:
        return client.list_topics(topic, timeout=_REQUEST_S)
    except KafkaException as error:
        raise Retryable(f"Kafka: {error.args[0]}; is the broker up? see `tollstream doctor`", _RETRY_MS) from error


class DurableProducer:
    """Sends, and knows when everything it sent is acknowledged by all replicas in sync."""

    def __init__(self, settings: Kafka, client: Callable[[dict[str, Any]], Any] = Producer) -> None:
        self._failed: KafkaError | None = None
        self._producer = client(
            {
                **connection(settings),
                "enable.idempotence": True,  # acks=all, in order, no doubles by the client's own retries
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": _ANY_BYTES,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 262_144,
                # Called for failures only. A message without a report was acknowledged once the queue is empty.
                "delivery.report.only.error": True,
                "on_delivery": self._note,
                "log_level": 2,
            }
        )

    def _note(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None and self._failed is None:
            self._failed = error

    def send(self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1) -> None:
        """Queue a message; waits while the queue is full, which is the back-pressure of the broker."""
        while True:
            try:
                if partition >= 0:
                    self._producer.produce(topic, value, key, partition)
                else:
                    self._producer.produce(topic, value, key)
                return
            except BufferError:
                self._producer.poll(0.1)

    def acknowledged(self, timeout_s: float) -> bool:
        """True once all that was sent is durable. KafkaException if any message failed for good."""
        left = self._producer.flush(timeout_s)
        if self._failed is not None:
            raise KafkaException(self._failed)
        return bool(left == 0)

    def poll(self) -> None:
        """Let librdkafka tell of failures; cheap."""
        self._producer.poll(0)


def read_to_end(settings: Kafka, topic: str) -> list[tuple[bytes, bytes | None]]:
    """(key, value) of every record of a small topic, in order within each partition.

    Ends at what was there at the start, so that others who go on writing don't keep it reading for ever.
    """
    consumer = Consumer(
        {
            **connection(settings),
            "group.id": f"{settings.group}-reader",  # required by the client; never joined, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,  # the shorter, the sooner the broker says that there is no more
            "log_level": 2,
        }
    )
    found: list[tuple[bytes, bytes | None]] = []
    try:
        count = partition_count(settings, topic)
        consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
        reading = set(range(count))
        ends: dict[int, int] = {}
        if ends_are_trusted(settings):
            for p in reading:
                ends[p] = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_REQUEST_S)[1]
            reading = {p for p in reading if ends[p] > 0}
        heard_at = time.monotonic()
        while reading:
            messages = consumer.consume(1000, _LISTEN_S)
            if messages:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _REQUEST_S:
                raise Retryable(f"Kafka: {topic} gave nothing for {_REQUEST_S} s; is the broker up?", _RETRY_MS)
            message: Any  # its numbers are None only before it is sent
            for message in messages:
                error = message.error()
                if error is None:
                    found.append((message.key() or b"", message.value()))
                    if ends.get(message.partition(), _NEVER) <= message.offset() + 1:
                        reading.discard(message.partition())
                elif error.code() == KafkaError._PARTITION_EOF:
                    reading.discard(message.partition())
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
    return found


class RecordProducer:
    """Sends one record at a time and returns where it stands."""

    def __init__(self, settings: Kafka) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap,
                "enable.idempotence": True,  # acks=all, no doubles by the client's own retries
                "compression.type": "lz4",
                "message.max.bytes": _ANY_BYTES,
                "delivery.timeout.ms": settings.delivery_timeout_ms,
                "log_level": 2,
            }
        )

    def send(self, topic: str, value: bytes, partition: int, timestamp_ms: int) -> int:
        """The offset, once all replicas in sync have it. KafkaException where they did not take it."""
        said: list[Any] = []
        self._producer.produce(
            topic, value, None, partition, timestamp=timestamp_ms, on_delivery=lambda *arguments: said.append(arguments)
        )
        self._producer.flush()  # bounded by delivery.timeout.ms
        error, message = said[0]
        if error is not None:
            raise KafkaException(error)
        return int(message.offset())
