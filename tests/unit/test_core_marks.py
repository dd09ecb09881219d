"""The marks topic: what its records say together, and when a topic that looks different is refused."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import pytest

from config.catalogue import BEGIN_MS
from config.settings import Processing, Settings
from processors.marks import Begin, KafkaLog, Layout, Mark, Marks, Recorded, WrongLogError
from processors.meter import Ledger
from sinks.errors import Retryable

COUNTS = Ledger(consumed=5, accepted=4, late=1)


def record(key: str, value: Any) -> tuple[bytes, bytes | None]:
    return key.encode(), None if value is None else msgspec.json.encode(value)


def mark(offset: int) -> Mark:
    return Mark(offset, 1000 + offset, COUNTS, "digest")


class World:
    """One worker's marks topic: what is on it, and what the worker writes."""

    def __init__(self, *records: tuple[bytes, bytes | None], count: int = 3, start_at: int | None = None) -> None:
        self.records, self.reads, self.sent = list(records), 0, []
        self.away, self.said = False, list[str]()
        self.services = mock.Mock(read_to_end=self._read, partition_count={"usage.events": count}.__getitem__)
        self.services.clock = mock.Mock(monotonic=(n / 10_000 for n in range(99)).__next__)
        producer = mock.Mock(send=lambda topic, value, key: self.sent.append((topic, key, msgspec.json.decode(value))))
        settings = Settings(processing=Processing(start_at=start_at))
        self.marks = Marks(settings, "T", producer, self.services)

    def _read(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        assert topic == "usage.marks"
        self.reads += 1
        if self.away:
            raise Retryable("Kafka is away", 1)
        return self.records

    def agree(self, *partitions: int) -> None:
        self.marks.agree(list(partitions), self.said.append, self._meanwhile)

    def of(self, partition: int) -> Mark | None:
        return self.marks.of(partition, self.said.append, self._meanwhile)

    def _meanwhile(self) -> None:
        self.away = False


def test_the_last_record_of_a_key_holds_and_each_kind_has_its_place() -> None:
    found = Recorded.of(
        [
            record("T/0", mark(3)),
            record("T/partitions", Layout(4)),
            record("T/1", None),
            record("T/0", mark(9)),
            record("T/0/begin", Begin(2, COUNTS, "why")),
            record("T/2", mark(1)),
        ]
    )
    assert found.marks == {"T/0": mark(9), "T/2": mark(1)}
    assert found.begins == {"T/0": Begin(2, COUNTS, "why")}
    assert found.layouts == {"T": Layout(4)}


def test_a_topic_is_known_by_any_kind_of_record() -> None:
    records = [record("A/0", mark(3)), record("B/7/begin", Begin(2, COUNTS, "why")), record("C/partitions", Layout(4))]
    assert Recorded.of(records).topics == {"A", "B", "C"}
    assert Recorded.of([record("A/x/0", mark(3))]).topics == {"A/x"}


def test_a_decision_is_the_mark_until_a_later_mark_and_then_its_beginning() -> None:
    begin = Begin(5, COUNTS, "why")
    begun = Mark(5, BEGIN_MS, COUNTS, "", begun=5)
    assert Recorded().mark("T", 0) is None
    assert Recorded(marks={"T/0": mark(5)}).mark("T", 0) == mark(5)
    assert Recorded(begins={"T/0": begin}).mark("T", 0) == begun
    assert Recorded(marks={"T/0": mark(5)}, begins={"T/0": begin}).mark("T", 0) == begun
    after = Recorded(marks={"T/0": mark(6)}, begins={"T/0": begin}).mark("T", 0)
    assert after == msgspec.structs.replace(mark(6), begun=5)


def test_a_mark_is_sent_under_its_partition_and_none_is_not() -> None:
    world = World()
    world.marks.send(2, None)
    world.marks.send(2, mark(8))
    assert world.sent == [("usage.marks", b"T/2", msgspec.to_builtins(mark(8)))]


def test_marks_are_read_once_until_they_are_forgotten() -> None:
    world = World(record("T/0", mark(3)))
    assert (world.of(0), world.of(1), world.reads) == (mark(3), None, 1)
    world.records.append(record("T/1", mark(4)))
    assert (world.of(1), world.reads) == (None, 1)
    world.marks.forget()
    assert (world.of(1), world.reads) == (mark(4), 2)


def test_while_the_topic_cannot_be_read_it_is_said_and_other_work_goes_on() -> None:
    for ask in (World.of, World.agree):
        world = World(record("T/partitions", Layout(4)))
        world.away = True
        ask(world, 0)
        assert (world.said, world.away, world.reads) == (["Kafka is away", ""], False, 2)
        assert world.services.clock.sleep.called, "on the clock of the services"


def test_the_first_to_process_a_topic_writes_down_how_many_partitions_it_has() -> None:
    world = World(count=3)
    world.agree(0, 1)
    assert world.sent == [("usage.marks", b"T/partitions", {"partitions": 3})]
    world.agree(2)
    assert len(world.sent) == 1, "it is known now"
    assert world.reads == 1


def test_a_partition_that_is_ours_already_is_counted_though_the_broker_does_not_say_so_yet() -> None:
    world = World(count=1)
    world.agree(0, 2)
    assert world.sent == [("usage.marks", b"T/partitions", {"partitions": 3})]


def test_a_topic_that_has_grown_is_refused_until_a_person_agrees() -> None:
    world = World(record("T/partitions", Layout(2)), count=4)
    world.agree(0, 1)
    for _ in range(2):
        with pytest.raises(WrongLogError, match="than the 2 it had"):
            world.agree(1, 2)
    assert world.sent == []


def test_another_topic_than_the_one_processed_is_refused_each_time_with_the_newest_records() -> None:
    world = World(record("B/partitions", Layout(4)), record("A/0", mark(3)))
    for _ in range(2):
        with pytest.raises(WrongLogError, match=r"id T\).* \(id A, B\)"):
            world.agree(0)
    assert world.reads == 2, "a person may have decided meanwhile"
    assert world.sent == []


def test_a_topic_with_marks_but_no_layout_is_no_other_one() -> None:
    world = World(record("A/0", mark(3)), record("T/0", mark(3)))
    world.agree(0)
    assert len(world.sent) == 1


def test_who_says_where_to_start_may_process_another_topic() -> None:
    world = World(record("A/0", mark(3)), start_at=0)
    world.agree(0)
    assert len(world.sent) == 1


def test_an_owner_asks_the_consumer_for_its_own_partition() -> None:
    consumer = mock.Mock(bounds=lambda partition: (partition * 10, 99), first_at=lambda *asked: asked)
    log = KafkaLog(consumer, 2, lambda: None)
    assert (log.low(), log.first_at(77)) == (20, (2, 77))
