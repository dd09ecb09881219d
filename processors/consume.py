"""A Kafka consumer that hands over batches by partition, and tells where each partition ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import methodcaller
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from config.settings import Kafka
from processors.meter import Batch
from sinks.topics import connection, passing

Assigned = Callable[[list[int]], dict[int, int]]  # partitions taken -> the offset to read each from
Dropped = Callable[[list[int]], None]

_EARLY_MAX = 20  # messages kept while nobody can use them: as many calls, so a second or more of waiting


class PartitionConsumer:
    """One group member on one topic. Offsets come from our own state, never from the group's."""

    def __init__(
        self,
        settings: Kafka,
        topic: str,
        group: str,
        assigned: Assigned,
        dropped: Dropped,
        *,
        leaves: bool,
        client: Callable[[dict[str, Any]], Any],
    ) -> None:
        """`leaves`: whether `close` tells the group; see there. `client` makes a confluent_kafka.Consumer."""
        self._topic, self._assigned, self._dropped, self._leaves = topic, assigned, dropped, leaves
        self.position: dict[int, int] = {}  # the next offset of each partition that is ours
        self.at_end: set[int] = set()  # partitions without more messages when last heard of
        self._newest_ms: dict[int, int] = {}  # timestamp of the last record taken
        self._paused: set[int] = set()
        self._early: list[Any] = []  # taken while nobody could use them
        session_ms = settings.session_timeout_ms
        self._consumer = client(
            {
                **connection(settings),
                "group.id": group,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": max(session_ms // 6, 1),  # its answer tells a member of a rebalance
                "max.poll.interval.ms": 600_000,  # a load of ten million identities takes seconds, not minutes
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # a position that the log lacks is a fault to stop at, never to skip
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,  # how long the broker keeps the news that there is no more to itself
                "queued.min.messages": 200_000,
                "queued.max.messages.kbytes": 65_536,
                "fetch.queue.backoff.ms": 2,  # the default of 1000 starves a short queue
                "log_level": 2,
            }
        )
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def _on_assign(self, consumer: Any, taken: list[TopicPartition]) -> None:
        starts = self._assigned([one.partition for one in taken])
        consumer.incremental_assign([TopicPartition(self._topic, p, offset) for p, offset in starts.items()])
        consumer.resume(self._places(starts))  # the client remembers a pause from when a partition was last ours
        self.position.update(starts)

    def _on_revoke(self, consumer: Any, lost: list[TopicPartition]) -> None:
        # Nothing is saved here: the next owner folds again what no checkpoint holds, and says the same.
        partitions = [one.partition for one in lost]
        for partition in partitions:
            self.position.pop(partition, None)
            self.at_end.discard(partition)
            self._newest_ms.pop(partition, None)
            self._paused.discard(partition)
        # If it comes back, it comes back at its checkpoint, and these would stand before what they follow.
        self._early = [message for message in self._early if message.partition() not in partitions]
        self._dropped(partitions)
        consumer.incremental_unassign(lost)

    def take(self, most: int, timeout_s: float) -> dict[int, list[Any]]:
        """Messages by partition, in offset order. KafkaException for what no retry mends."""
        if self._paused:
            self._consumer.resume(self._places(self._paused))
            self._paused = set()
        found = self._consumer.consume(most, 0 if self._early else timeout_s)
        early, self._early = self._early, []  # only now: a callback of `consume` may have dropped some
        return self._sort(early + found)

    def keep_alive(self) -> None:
        """Stay in the group while something else is slow. A message a call is kept for the next `take`.

        Only a long wait pauses the partitions: a client that pauses drops all that it has fetched, and once it goes on
        the thread that fetches sleeps for up to a second first (librdkafka 2.16, measured).
        """
        running = self.position.keys() - self._paused
        if running and len(self._early) >= _EARLY_MAX:
            self._consumer.pause(self._places(running))
            self._paused |= running
        found = self._consumer.consume(1, 0)  # a partition assigned just now is not paused yet
        self._early += found  # only now: `+=` in one line would bring back what a callback of `consume` dropped

    def _sort(self, messages: list[Any]) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        ended: dict[int, int] = {}
        said = [message for message in messages if message.error() is not None]
        for message in said:
            error = message.error()
            if error.code() == KafkaError._PARTITION_EOF:
                ended[message.partition()] = message.offset()
            elif not error.retriable() and error.code() not in _PASSING:
                raise KafkaException(error)
        if said:
            messages = [message for message in messages if message.error() is None]
        # They come in long runs of one partition, and a run costs as much as a message.
        for partition, run in groupby(messages, methodcaller("partition")):
            if partition in self.position:
                found.setdefault(partition, []).extend(run)
        for partition, taken in found.items():
            self.position[partition] = taken[-1].offset() + 1
            self._newest_ms[partition] = taken[-1].timestamp()[1]
            self.at_end.discard(partition)
        # In one batch an end may come before later messages of its partition, and after earlier ones.
        self.at_end.update(p for p, offset in ended.items() if offset >= self.position.get(p, offset + 1))
        return found

    def behind(self, now_ms: int, behind_ms: int) -> bool:
        """Whether a log has more, and what was last taken of it is older than `behind_ms`: it is a backlog."""
        return any(self._newest_ms.get(p, 0) < now_ms - behind_ms for p in self.position.keys() - self.at_end)

    def look_again(self) -> None:
        """Ask every partition anew whether it has more: `at_end` fills as the broker answers."""
        self.at_end.clear()
        self._early = []  # ends of long ago; messages come again
        for partition, offset in self.position.items():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def commit(self, offsets: dict[int, int]) -> None:
        """For lag tools only; the truth is in our own state."""
        if offsets:
            places = [TopicPartition(self._topic, p, offset) for p, offset in offsets.items()]
            self._consumer.commit(offsets=places, asynchronous=True)

    def bounds(self, partition: int) -> tuple[int, int]:
        """(first offset, end offset) as the broker says now. Raises Retryable."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=10)
        except KafkaException as error:
            raise passing(error) or error from error
        return low, high

    def first_at(self, partition: int, timestamp_ms: int) -> int:
        """The first offset with at least this timestamp; the end where there is none. Raises Retryable."""
        asked = [TopicPartition(self._topic, partition, max(timestamp_ms, 0))]
        try:
            offset = self._consumer.offsets_for_times(asked, timeout=10)[0].offset
        except KafkaException as error:
            raise passing(error) or error from error
        return int(offset) if offset >= 0 else self.bounds(partition)[1]

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]

    def close(self) -> None:
        """Leave the group, or fall silent, so that the group misses this member when its session is over.

        The embedded broker never again assigns anything to a group whose leader left in the middle of a rebalance
        (tried); a member that dies does not harm it.
        """
        if self._leaves:
            self._consumer.close()


class Portion:
    """How many messages to take at once, so that what they hold stays in the processor's cache."""

    def __init__(self, most: int) -> None:
        """`most`: events, or rows. The first time it is little, as one message may hold thousands."""
        self._most, self.messages = most, max(1, most // 1_000)

    def took(self, messages: int, held: int) -> None:
        """So many messages held so many events."""
        if messages:
            self.messages = max(1, self._most * messages // max(messages, held))


def batch_of(messages: list[Any]) -> Batch:
    """Messages of one partition as the fold takes them."""
    return Batch(
        [message.value() for message in messages],
        np.array([message.offset() for message in messages], np.int64),
        np.array([message.timestamp()[1] for message in messages], np.int64),
    )


# Conditions of the connection or the group that librdkafka mends by itself; it reports them for information.
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REBALANCE_IN_PROGRESS,
    }
)
