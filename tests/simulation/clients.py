"""Clients of the simulated Kafka: the methods of confluent_kafka that PartitionConsumer and DurableProducer use."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.simulation.broker import Record
from tests.simulation.group import Member
from tests.simulation.scheduling import Process

if TYPE_CHECKING:
    from tests.simulation.world import World


class Message:
    """As confluent_kafka gives it: a record, or an error in its place."""

    __slots__ = ("_error", "_partition", "_record")

    def __init__(self, partition: int, record: Record, error: KafkaError | None = None) -> None:
        self._partition, self._record, self._error = partition, record, error

    def error(self) -> KafkaError | None:
        return self._error

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._record.offset

    def value(self) -> bytes | None:
        return self._record.value

    def timestamp(self) -> tuple[int, int]:
        return (1, self._record.timestamp_ms)


class Place:
    """Where a consumer stands in a partition."""

    def __init__(self, offset: int, topic_id: str) -> None:
        self.offset, self.topic_id = offset, topic_id
        self.ended_at = -1  # the end that it was told of


class SimConsumer:
    """A member of a group. Callbacks run inside `consume` and `close`, as librdkafka's do."""

    def __init__(self, world: World, process: Process, config: dict[str, Any]) -> None:
        self._world, self._process = world, process
        assert config["auto.offset.reset"] == "error"
        self._group = world.groups[config["group.id"]]
        self._member = Member(process)
        self._places: dict[int, Place] = {}
        self._paused: set[int] = set()  # remembered when a partition goes and comes back, as librdkafka does

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        (self._topic,) = topics
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}
        self._group.join(self._member)

    def consume(self, most: int, timeout_s: float) -> list[Message]:
        self._process.pause()
        self._hear()
        found = self._fetch(most)
        if not found and timeout_s:
            self._process.pause(timeout_s)
            found = self._fetch(most)
        return found

    def _hear(self) -> None:
        member, now_s = self._member, self._world.scheduler.now_s
        if member.expelled and member.deaf_s <= now_s:
            self._call("lost", sorted(self._places))
            member.calls = []
            self._group.join(member)
        while (call := self._group.next_call(member, now_s)) is not None:
            kind, partitions = call
            self._call(kind, partitions)
            if kind == "revoke" and not member.expelled:
                self._group.given_up(member, partitions)

    def _call(self, kind: str, partitions: list[int]) -> None:
        self._world.seen[f"group: {kind}"] += 1
        self._callbacks[kind](self, [TopicPartition(self._topic, partition) for partition in partitions])

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        topic_id = self._world.broker.topics[self._topic].id
        self._places.update({one.partition: Place(one.offset, topic_id) for one in places})

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        for one in places:
            self._places.pop(one.partition, None)

    def _fetch(self, most: int) -> list[Message]:
        rng, topic = self._world.rng, self._world.broker.topics[self._topic]
        found: list[Message] = []
        order = list(self._places)
        rng.shuffle(order)
        for partition in order:
            place = self._places[partition]
            if partition in self._paused or len(found) >= most:
                continue
            log = topic.partitions[partition]
            if place.topic_id != topic.id or not log.low <= place.offset <= log.end:
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "the log has no such offset")
                return [*found, Message(partition, Record(place.offset, 0, None, None), error)]
            records = log.read(place.offset, min(most - len(found), self._world.batch()))
            found += [Message(partition, record) for record in records]
            place.offset = records[-1].offset + 1 if records else log.end
            log.consumed = max(log.consumed, place.offset)
            if place.offset == log.end and place.ended_at != log.end:
                place.ended_at = log.end
                end = KafkaError(KafkaError._PARTITION_EOF)
                found.append(Message(partition, Record(log.end, 0, None, None), end))
        return found

    def pause(self, places: list[TopicPartition]) -> None:
        self._paused.update(one.partition for one in places)

    def resume(self, places: list[TopicPartition]) -> None:
        self._paused.difference_update(one.partition for one in places)

    def seek(self, place: TopicPartition) -> None:
        if place.partition in self._places:
            held = self._places[place.partition]
            held.offset, held.ended_at = place.offset, -1

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """For lag tools: nobody here reads it."""

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        self._asked()
        return self._world.broker.bounds(self._topic, place.partition)

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._asked()
        first_at = self._world.broker.first_at
        return [
            TopicPartition(self._topic, one.partition, first_at(self._topic, one.partition, one.offset))
            for one in places
        ]

    def _asked(self) -> None:
        self._process.pause()
        if self._world.chance(0.002):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the broker did not answer"))

    def close(self) -> None:
        if self._places:
            self._call("revoke", sorted(self._places))
        self._group.leave(self._member)


class Sent(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


class SimProducer:
    """An idempotent producer: in order within each partition, once. What it queued outlives it in part."""

    def __init__(self, world: World, process: Process, config: dict[str, Any]) -> None:
        assert config["enable.idempotence"]
        self._world, self._process = world, process
        self._on_delivery: Callable[[KafkaError | None, Any], None] = config["on_delivery"]
        self.queue: list[Sent] = []
        self._failure: KafkaError | None = None
        self._slow = world.chance(0.1)
        world.producers.append(self)
        process.on_death.append(self._cut)

    def produce(self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1) -> None:
        count = len(self._world.broker.topics[topic].partitions)
        if partition < 0:
            partition = zlib.crc32(key or b"") % count
        self.queue.append(Sent(topic, partition, key, value))
        if self._world.chance(self._world.trouble / 50):
            self._process.die()
            self._process.check()

    def due(self) -> bool:
        """Whether its messages get through just now: those of a dead or stuck process mostly take their time."""
        process, now_s = self._process, self._world.scheduler.now_s
        frozen = process.frozen_s > now_s and not process.dead
        if frozen and self._world.calm:
            return False
        return not (process.dead or frozen or self._slow) or self._world.rng.random() < 0.05

    def deliver(self) -> None:
        """Some of what is queued for one partition arrives. Called by the scheduler."""
        rng = self._world.rng
        chosen = rng.choice(self.queue)
        places = [at for at, one in enumerate(self.queue) if one[:2] == chosen[:2]]
        if self._world.chance(0.002) and not self._process.dead:
            self._failure = KafkaError(KafkaError._MSG_TIMED_OUT, "delivery.timeout.ms is over")
            self.queue = []
            return
        arriving = set(places[: rng.randint(1, len(places))])
        for at in sorted(arriving):
            self._world.broker.append(*self.queue[at])
        self.queue = [one for at, one in enumerate(self.queue) if at not in arriving]

    def flush(self, timeout_s: float) -> int:
        if self._world.chance(self._world.trouble / 10):
            self._process.die()
        self._process.pause()
        self._process.check()
        if self.queue:
            self._process.pause(timeout_s)
        self.poll(0)
        return len(self.queue)

    def poll(self, timeout_s: float) -> None:
        if self._failure is not None:
            self._on_delivery(self._failure, None)

    def _cut(self) -> None:
        """Of each partition's messages a first part is on its way already, and may arrive much later."""
        rng = self._world.rng
        upto = {place: rng.randint(0, 30) for place in sorted({one[:2] for one in self.queue})}
        kept = []
        for one in self.queue:
            upto[one[:2]] -= 1
            if upto[one[:2]] >= 0:
                kept.append(one)
        self.queue = kept
