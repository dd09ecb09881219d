"""Decisions that only a person may make: each is refused while it could lose or double an event unsaid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
import pytest

from config.catalogue import BEGIN_MS, Catalogue, EventType
from config.settings import Processing, Settings
from processors import recovery
from processors.checkpoint import Checkpoint, Head, Manifest
from processors.marks import Begin, Layout, Mark, Recorded
from processors.meter import Ledger, Letter
from processors.recovery import Gap, Recovery, RecoveryRefusedError, Standing
from sinks.queries import Partition
from sinks.streams import Message

DAY_MS = 86_400_000
LATE_MS, SKEW_MS = 3_600_000, 60_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
COUNTS = Ledger(consumed=5, accepted=4, late=1)


class Log:
    """Partition -> messages as (offset, record timestamp), and where it begins."""

    def __init__(self) -> None:
        self.begins: dict[int, int] = {}
        self.records: dict[int, list[tuple[int, int]]] = {}
        self.asked: list[int] = []

    def bounds(self, partition: int) -> tuple[int, int]:
        held, low = self.records.get(partition, []), self.begins.get(partition, 0)
        return low, held[-1][0] + 1 if held else low

    def first_at(self, partition: int, timestamp_ms: int) -> int | None:
        self.asked.append(timestamp_ms)
        found = (offset for offset, at_ms in self.records.get(partition, []) if at_ms >= timestamp_ms)
        return next(found, None)

    def messages(self, partition: int, start: int = 0) -> Iterator[Message]:
        for offset, at_ms in self.records.get(partition, []):
            if offset >= start:
                yield Message(offset, at_ms, b"", b"")


class World:
    """A recovery over what is written here instead of services."""

    def __init__(self, partitions: int = 1) -> None:
        self.log, self.sent = Log(), list[tuple[str, bytes, Any]]()
        self.heads: dict[int, Head] = {}
        self.written: list[Checkpoint] = []
        self.it = Recovery.__new__(Recovery)
        self.it._settings = Settings(processing=Processing(skew_ms=SKEW_MS))
        self.it._catalogue = Catalogue(generation=3, events=(EventType("a", 5), EventType("b", LATE_MS)))
        self.it.topic, self.it.partitions, self.it.recorded = "T", partitions, Recorded()
        self.it._log, self.it._ledgers = self.log, {}  # type: ignore[assignment]
        self.it._slot = self._slot  # type: ignore[method-assign,assignment]
        self.it._send = lambda topic, key, record: self.sent.append((topic, key, record))  # type: ignore[method-assign]

    def _slot(self, partition: int) -> Any:
        head = self.heads.get(partition)
        return mock.Mock(peek=lambda: head, claim={3: head}.__getitem__, write=self.written.append)

    def mark(self, offset: int, clock_ms: int = NOON_MS) -> Mark:
        self.it.recorded.marks["T/0"] = Mark(offset, clock_ms, COUNTS, "")
        return self.it.recorded.marks["T/0"]

    def ledger(self, offset: int, clock_ms: int, partition: int = 0) -> None:
        clock = datetime.fromtimestamp(clock_ms / 1000, UTC)
        self.it._ledgers[partition] = Partition("T", partition, offset, 9, 8, 1, 0, 0, 0, True, clock, 2)


def head(offset: int, published: int = 0) -> Head:
    return Head(offset, published, 7, 3, COUNTS, Manifest())


@pytest.fixture
def world() -> World:
    return World()


def test_a_standing_says_what_each_place_remembers() -> None:
    world = World(partitions=2)
    world.log.begins, world.log.records = {0: 2}, {0: [(2, 1), (3, 1)]}
    world.heads[0] = head(5, 4)
    world.mark(6)
    world.it.recorded.begins["T/0"] = Begin(1, COUNTS, "why")
    world.ledger(7, NOON_MS)
    assert world.it.standings() == [
        Standing(0, 2, 4, redis=5, acknowledged=4, mark=6, ledger=7, begun=1),
        Standing(1, 0, 0, redis=None, acknowledged=None, mark=None, ledger=None, begun=0),
    ]


# -- a topic made anew


def test_a_topic_made_anew_counts_from_where_a_person_says() -> None:
    world = World(partitions=2)
    world.it.recorded = Recorded(marks={"B/0": Mark(3, 0, COUNTS, ""), "A/1": Mark(3, 0, COUNTS, "")})
    world.log.begins = {0: 4, 1: 7}
    assert world.it.adopt_topic(7) == ["A", "B"]
    begin = Begin(7, Ledger(), "adopted after topic A, B")
    assert world.sent == [
        ("usage.marks", b"T/0/begin", begin),
        ("usage.marks", b"T/1/begin", begin),
        ("usage.marks", b"T/partitions", Layout(2)),
    ]


def test_messages_that_are_gone_cannot_be_adopted() -> None:
    world = World(partitions=2)
    world.it.recorded = Recorded(layouts={"A": Layout(2)})
    world.log.begins = {1: 7}
    with pytest.raises(RecoveryRefusedError, match="partition 1 begins at offset 7"):
        world.it.adopt_topic(6)
    assert world.sent == []


@pytest.mark.parametrize("known", [(), ("T",), ("T", "A")])
def test_the_topic_that_is_processed_is_not_adopted(world: World, known: tuple[str, ...]) -> None:
    world.it.recorded = Recorded(layouts={name: Layout(1) for name in known})
    with pytest.raises(RecoveryRefusedError, match="nothing to decide"):
        world.it.adopt_topic(0)
    assert world.sent == []


# -- more partitions


def grown(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> World:
    world = World(partitions=2)
    world.it.recorded = Recorded(layouts={"T": Layout(1)})
    world.log.records = {0: old, 1: new}
    return world


def test_quiet_is_when_the_last_event_of_an_old_partition_before_the_growth_is_late() -> None:
    world = grown([(0, NOON_MS - 9), (1, NOON_MS), (2, NOON_MS + 500)], [(0, NOON_MS + 100)])
    assert world.it.quiet_at_ms(1) == NOON_MS + SKEW_MS + LATE_MS
    world.log.records[1] = []
    assert world.it.quiet_at_ms(1) == NOON_MS + 500 + SKEW_MS + LATE_MS
    world.log.records[0] = []
    assert world.it.quiet_at_ms(1) == world.it.quiet_at_ms(0) == SKEW_MS + LATE_MS
    world.it._catalogue = Catalogue(generation=3)
    assert world.it.quiet_at_ms(1) == SKEW_MS


def test_quiet_is_told_by_the_clock_of_the_ledger_where_that_is_of_before_the_growth() -> None:
    world = grown([(0, NOON_MS), (1, NOON_MS + 500)], [(0, NOON_MS + 100)])
    world.ledger(1, NOON_MS + 50)
    assert world.it.quiet_at_ms(1) == NOON_MS + 50 + SKEW_MS + LATE_MS
    world.ledger(2, NOON_MS + 50)
    assert world.it.quiet_at_ms(1) == NOON_MS + SKEW_MS + LATE_MS
    world.log.begins, world.log.records[0] = {0: 2}, []
    assert world.it.quiet_at_ms(1) == NOON_MS + 50 + SKEW_MS + LATE_MS, "the log has nothing of it any more"


def test_partitions_that_begin_after_the_old_ones_were_quiet_may_count() -> None:
    quiet_ms = NOON_MS + SKEW_MS + LATE_MS
    world = grown([(0, NOON_MS)], [(0, quiet_ms + 1)])
    assert world.it.agree_to_partitions(0, sure=False) == (1, 2)
    assert world.sent == [("usage.marks", b"T/partitions", Layout(2))]


@pytest.mark.parametrize("early", [[(0, NOON_MS + SKEW_MS + LATE_MS)], []])
def test_partitions_that_might_hold_a_retry_are_refused_unless_a_person_is_sure(early: list[tuple[int, int]]) -> None:
    quiet_ms = NOON_MS + SKEW_MS + LATE_MS
    world = grown([(0, NOON_MS)], early)
    begins = f"begins with a record of {early[0][1]} ms" if early else "is empty"
    with pytest.raises(RecoveryRefusedError, match=rf"partition 1 {begins}.* say --sure"):
        world.it.agree_to_partitions(quiet_ms, sure=False)
    assert world.sent == []
    assert world.it.agree_to_partitions(quiet_ms, sure=True) == (1, 2)


def test_an_empty_partition_says_how_long_to_wait() -> None:
    world = grown([(0, NOON_MS)], [])
    with pytest.raises(RecoveryRefusedError, match=f"before {NOON_MS + SKEW_MS + LATE_MS} ms since 1970, 3,660 s"):
        world.it.agree_to_partitions(NOON_MS, sure=False)
    assert world.it.agree_to_partitions(NOON_MS + SKEW_MS + LATE_MS + 1, sure=False) == (1, 2)


@pytest.mark.parametrize("layout", [None, 2, 3])
def test_nothing_is_agreed_to_where_nothing_has_grown(layout: int | None) -> None:
    world = grown([], [])
    world.it.recorded = Recorded(layouts={} if layout is None else {"T": Layout(layout)})
    with pytest.raises(RecoveryRefusedError, match="nothing to agree to"):
        world.it.agree_to_partitions(0, sure=True)


# -- a gap


def test_a_state_behind_the_log_goes_on_where_the_log_begins(world: World) -> None:
    world.heads[0] = head(5)
    world.log.begins = {0: 6}
    gap = world.it.plan_gap(0)
    assert gap == Gap(0, 5, 5, "the log was shortened before these were counted")
    world.log.begins = {0: 5}
    with pytest.raises(RecoveryRefusedError, match="nothing is missing"):
        world.it.plan_gap(0)


def short(world: World) -> int:
    """A mark at 10 whose open days are gone from the log; the first instant at which all of it is closed."""
    world.mark(10, NOON_MS)
    world.log.begins = {0: 8}
    safe_ms = 20_001 * DAY_MS + LATE_MS
    world.log.records = {0: [(8, NOON_MS), (12, safe_ms - 1), (14, safe_ms), (15, safe_ms + 1)]}
    return safe_ms


def test_without_a_state_the_gap_ends_where_all_that_was_counted_is_closed(world: World) -> None:
    short(world)
    why = "neither state nor log could tell which events were counted before"
    assert world.it.plan_gap(0) == Gap(0, 10, 13, why)
    world.it._catalogue = Catalogue(generation=3)
    world.log.records[0] = [(8, NOON_MS), (9, 20_001 * DAY_MS - 1), (12, 20_001 * DAY_MS), (14, 20_002 * DAY_MS)]
    world.log.begins = {0: 1}
    world.log.records[0].insert(0, (1, 20_000 * DAY_MS - SKEW_MS))
    assert world.it.plan_gap(0) == Gap(0, 10, 11, why), "nothing is late, so a day is closed when it ends"


def test_a_day_that_ends_with_the_clock_and_its_skew_is_not_closed_before_the_next(world: World) -> None:
    short(world)
    for before_midnight_ms, day in ((SKEW_MS + 1, 20_001), (SKEW_MS, 20_002)):
        world.mark(10, 20_001 * DAY_MS - before_midnight_ms)
        world.log.asked.clear()
        world.log.records[0] = [(8, NOON_MS), (20, 20_009 * DAY_MS)]
        assert world.it.plan_gap(0).last == 19
        assert world.log.asked[-1] == day * DAY_MS + LATE_MS


def test_while_no_record_is_late_enough_a_gap_is_refused(world: World) -> None:
    safe_ms = short(world)
    world.log.records[0] = world.log.records[0][:2]
    with pytest.raises(RecoveryRefusedError, match=f"{safe_ms} ms since 1970"):
        world.it.plan_gap(0)


def test_what_was_counted_is_told_by_whoever_remembers_most(world: World) -> None:
    short(world)
    world.ledger(11, NOON_MS)
    assert world.it.plan_gap(0).first == 11
    world.ledger(11, NOON_MS + 8 * DAY_MS)
    with pytest.raises(RecoveryRefusedError, match=f"{20_009 * DAY_MS + LATE_MS} ms since 1970"):
        world.it.plan_gap(0)
    world.ledger(11, NOON_MS)
    world.ledger(9, NOON_MS)
    assert world.it.plan_gap(0).first == 10
    world.it.recorded = Recorded()
    assert world.it.plan_gap(0).first == 9
    world.it._ledgers = {}
    with pytest.raises(RecoveryRefusedError, match="nothing of it was ever counted"):
        world.it.plan_gap(0)


def test_a_log_that_reaches_back_far_enough_is_folded_and_has_no_gap(world: World) -> None:
    """The oldest record that the open day can depend on is there, and one before it, so nothing of it is gone."""
    world.mark(10, NOON_MS)
    world.log.begins = {0: 7}
    since_ms = 20_000 * DAY_MS - SKEW_MS
    world.log.records = {0: [(7, since_ms - 1), (8, since_ms), (30, 20_009 * DAY_MS)]}
    with pytest.raises(RecoveryRefusedError, match="has all that is needed"):
        world.it.plan_gap(0)
    world.log.records = {0: [(7, since_ms), (30, 20_009 * DAY_MS)]}
    assert world.it.plan_gap(0).first == 10
    world.log.records = {0: [(7, since_ms - DAY_MS)]}
    with pytest.raises(RecoveryRefusedError, match="has all that is needed"):
        world.it.plan_gap(0)


@pytest.mark.parametrize(("low", "restorable"), [(10, True), (11, False)])
def test_behind_a_beginning_that_a_person_set_the_log_need_not_reach_back(
    world: World, low: int, restorable: bool
) -> None:
    world.mark(10, NOON_MS)
    world.it.recorded.begins["T/0"] = Begin(10, COUNTS, "why")
    world.log.begins, world.log.records = {0: low}, {0: [(low, 20_009 * DAY_MS)]}
    if restorable:
        with pytest.raises(RecoveryRefusedError, match="has all that is needed"):
            world.it.plan_gap(0)
    else:
        world.ledger(11, NOON_MS)
        assert world.it.plan_gap(0).last == 10


def test_without_a_mark_a_log_from_its_first_message_on_has_all(world: World) -> None:
    world.ledger(4, NOON_MS)
    world.log.records = {0: [(0, NOON_MS)]}
    with pytest.raises(RecoveryRefusedError, match="has all that is needed"):
        world.it.plan_gap(0)
    world.log.begins, world.log.records = {0: 1}, {0: [(6, 20_009 * DAY_MS)]}
    assert (world.it.plan_gap(0).first, world.it.plan_gap(0).last) == (4, 5)


def accepted(world: World, gap: Gap) -> list[Any]:
    with mock.patch.object(recovery, "ClickHouseSink") as sink:
        world.it.accept_gap(gap)
    settings = world.it._settings
    sink.assert_called_once_with(settings.clickhouse, rows_max=settings.limits.sink_rows_max)
    return sink.return_value.insert_dead_letters.call_args.args  # type: ignore[no-any-return]


def test_a_gap_is_a_dead_letter_and_the_state_goes_on_behind_it(world: World) -> None:
    world.heads[0] = head(5, 4)
    (rows,) = accepted(world, Gap(0, 5, 7, "why"))
    letter = Letter("invalid", 5, 0, "gap: 3 messages to offset 7: why", b"", 0)
    assert world.sent == [("usage.dead-letter", b"T/0/5/0", letter)]
    assert (rows.topic, rows.partition, rows.offset, rows.reason) == (["T"], [0], [5], [letter.reason])
    assert world.written == [Checkpoint(5, msgspec.structs.replace(world.heads[0], offset=8), [], [])]


def test_without_a_state_a_decision_is_written_with_what_was_counted(world: World) -> None:
    world.mark(10)
    accepted(world, Gap(0, 10, 19, "why"))
    assert world.sent[1:] == [("usage.marks", b"T/0/begin", Begin(20, COUNTS, "why"))]
    world.ledger(10, NOON_MS)
    accepted(world, Gap(0, 10, 19, "why"))
    assert world.sent[-1][2].ledger == COUNTS, "the mark is as new"
    world.ledger(11, NOON_MS)
    accepted(world, Gap(0, 11, 19, "why"))
    assert world.sent[-1][2].ledger == Ledger(9, 8, 1, 0, 0, 0, 2)
    world.it.recorded = Recorded()
    accepted(world, Gap(0, 11, 19, "why"))
    assert world.sent[-1][2].ledger == Ledger(9, 8, 1, 0, 0, 0, 2)
    world.it._ledgers = {}
    accepted(world, Gap(0, 11, 19, "why"))
    assert world.sent[-1][2].ledger == Ledger()
    assert world.written == []


def test_an_accepted_gap_is_what_the_next_owner_begins_with(world: World) -> None:
    world.mark(10)
    accepted(world, Gap(0, 10, 19, "why"))
    _, key, begin = world.sent[-1]
    recorded = Recorded.of([(key, msgspec.json.encode(begin))])
    assert recorded.mark("T", 0) == Mark(20, BEGIN_MS, COUNTS, "", begun=20)


# -- with the services


def test_all_that_remembers_something_of_the_topic_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, catalogue = Settings(), Catalogue(generation=3)
    kafka, client = settings.kafka, mock.Mock()
    rows = [mock.Mock(topic="T", partition=0), mock.Mock(topic="older", partition=0), mock.Mock(topic="T", partition=1)]
    answers: dict[str, dict[Any, Any]] = {
        "topic_id": {(kafka, "usage.events"): "T"},
        "partition_count": {(kafka, "usage.events"): 2},
        "read_to_end": {(kafka, "usage.marks"): [(b"T/partitions", b'{"partitions":1}')]},
        "connect": {(settings.redis.url,): mock.Mock(name="redis")},
        "TopicReader": {(kafka, "usage.events"): mock.Mock(name="log")},
        "reader": {(settings.clickhouse,): client},
        "read_ledger": {(client,): mock.Mock(partitions=rows)},
    }

    for name, found in answers.items():
        known = {tuple(map(repr, asked)): answer for asked, answer in found.items()}
        monkeypatch.setattr(recovery, name, lambda *asked, known=known: known[tuple(map(repr, asked))])
    it = Recovery(settings, catalogue)
    assert (it.topic, it.partitions, it.recorded.layouts) == ("T", 2, {"T": Layout(1)})
    assert it._ledgers == {0: rows[0], 1: rows[2]}
    assert (it._settings, it._catalogue) == (settings, catalogue)
    client.close.assert_called_once_with()
    redis, log = it._redis, it._log
    assert redis is next(iter(answers["connect"].values()))
    it.close()
    redis.close.assert_called_once_with()  # type: ignore[attr-defined]
    log.close.assert_called_once_with()  # type: ignore[attr-defined]


def test_a_decision_is_durable_before_it_is_told(world: World) -> None:
    del world.it._send
    with mock.patch.object(recovery, "DurableProducer") as producer:
        producer.return_value.acknowledged.side_effect = [False, False, True]
        world.it._write({"T/partitions": Layout(2)})
    producer.assert_called_once_with(world.it._settings.kafka)
    producer.return_value.send.assert_called_once_with("usage.marks", b'{"partitions":2}', b"T/partitions")
    assert producer.return_value.acknowledged.call_args_list == [mock.call(1.0)] * 3


def test_a_slot_is_of_the_topic_and_the_partition(world: World) -> None:
    del world.it._slot
    world.it._redis = mock.Mock()
    assert world.it._slot(7)._prefix == "tollstream:{T/7}:"
