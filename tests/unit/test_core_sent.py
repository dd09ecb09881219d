"""A reader of `usage.windows` finds the newest row of every partial, however its records were compacted."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from edge.murmur2 import partition_of
from processors.events import Decoder
from processors.homes import Homes
from processors.meter import Batch, PartitionState
from processors.outputs import changed_rows
from processors.row_records import Record, Taken
from processors.sent import Sent
from processors.window_rows import WindowRow, WindowRows
from tests.simulation.plants import Plant
from tests.simulation.plants_rated import PLANTS

HOUR_MS = 3_600_000
TEN = datetime(2026, 11, 2, 10, tzinfo=UTC)
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", HOUR_MS),),
    meters=(Meter("sum", 1, "a", "sum", "v"), Meter("high", 1, "a", "max", "v"), Meter("users", 1, "a", "unique", "u")),
)


class Compacted:
    """One owner's state, and the topic as compaction leaves it: the last record of each key."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.state = PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), 0))
        self.sent = Sent("topic", 3, Homes(2))
        self.topic: dict[tuple[int, bytes], bytes] = {}
        self.newest: dict[str, WindowRow] = {}  # of each partial, as it left
        self.flying: int | None = None

    def fold(self, subjects: list[int], hour: float = 0) -> None:
        at = TEN + timedelta(hours=hour)
        values = [
            msgspec.json.encode(
                {"specversion": "1.0", "id": f"{self.state.offset + n}", "source": "s", "type": "a"}
                | {"subject": f"zone-{subject}", "time": at.isoformat(), "data": {"v": 1, "u": f"{n % 2}"}}
            )
            for n, subject in enumerate(subjects)
        ]
        stamps = np.full(len(values), int(at.timestamp() * 1000))
        assert self.state.fold(Batch(values, self.state.offset + np.arange(len(values)), stamps)) == []

    def checkpoint(self) -> list[Record]:
        """As an owner does: what left before is acknowledged by the next time, or not."""
        if self.flying is not None:
            self.sent.acknowledged(self.flying)
        rows = changed_rows(self.state, "topic", 3)
        for table in self.state.tables.values():
            table.settle()
        made = self.sent.records(self.state, rows, b"token")
        self.topic |= {(one.partition, one.key): one.value for one in made}
        self.newest |= {repr(row.key()): row for row in rows}
        self.flying = self.state.offset if self.rng.random() < 0.8 else None
        return made

    def close(self) -> None:
        """Forget what is closed, as a compaction of the checkpoint does."""
        for key, table in list(self.state.tables.items()):
            self.state.tables[key] = table.without(table.closed(self.state.open_since_ms(key), self.state.offset))
        self.sent.forget_closed(self.state)

    def read(self) -> dict[str, WindowRow]:
        """What a reader from the start makes of it."""
        found: dict[str, WindowRow] = {}
        for row in Taken(list(self.topic.values())):
            if repr(row.key()) not in found or row.offset > found[repr(row.key())].offset:
                found[repr(row.key())] = row
        return found


def check(seed: int) -> None:
    """Many checkpoints over three hours, hot subjects and seldom ones, closed windows forgotten now and then."""
    one = Compacted(seed)
    for turn in range(60):
        hot = [one.rng.randint(0, 4) for _ in range(10)]
        one.fold([*hot, *(one.rng.randint(5, 60) for _ in range(one.rng.randint(0, 3)))], turn / 20)
        one.checkpoint()
        assert one.read() == one.newest
        if turn % 10 == 9:
            one.close()


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_row_of_every_partial_is_on_the_topic_whatever_was_written_over(seed: int) -> None:
    check(seed)


@pytest.mark.parametrize("name", [name for name in PLANTS if "used again" in name])
def test_writing_over_a_record_that_still_says_something_is_caught(name: str) -> None:
    plant: Plant = PLANTS[name]
    with plant.plant(), pytest.raises(AssertionError):
        for seed in range(5):
            check(seed)


def test_what_is_on_the_topic_does_not_grow_with_how_often_a_partial_changes() -> None:
    one, subjects = Compacted(1), list(range(40))
    one.fold(subjects)
    one.checkpoint()
    sizes = []
    for turn in range(200):
        one.fold([turn % 3, 3 + one.rng.randint(0, 36)])
        one.checkpoint()
        state_rows = [row for row in Taken(list(one.topic.values())) if row.chunk == 0]
        sizes.append(len(state_rows))
    assert one.read() == one.newest
    assert max(sizes) <= 5 * 3 * 40 + 200  # three meters of forty subjects
    assert max(sizes[100:]) <= max(sizes[:100]) * 1.2


class Plain(Compacted):
    """Of one meter and one partition of the topic, so that a record is told by who is in it."""

    def __init__(self) -> None:
        super().__init__(1)
        plain = msgspec.structs.replace(CATALOGUE, meters=CATALOGUE.meters[:1])
        self.state = PartitionState(plain, Limits(), Decoder(plain, Limits(), 0))
        self.sent = Sent("topic", 3, Homes(1))

    def said(self, *subjects: int, hour: float = 0) -> dict[bytes, list[int]]:
        """By key who is in the records that leave once an event of each subject is folded."""
        self.fold(list(subjects), hour)
        self.flying = None
        return {
            one.key: [int(row.subject.removeprefix("zone-")) for row in Taken([one.value])] for one in self.checkpoint()
        }

    def acknowledged(self) -> None:
        self.sent.acknowledged(self.state.offset)


def test_what_is_left_of_a_thin_record_is_sent_once_more_and_its_key_used_again() -> None:
    one = Plain()
    [first] = one.said(*range(8))
    one.acknowledged()
    assert list(one.said(*range(7)).values()) == [[0, 1, 2, 3, 4, 5, 6], [7]]
    assert first not in one.said(0)
    one.acknowledged()
    assert one.said(0) == {first: [0]}
    assert len(one.sent._held) == 3  # those of 1 to 6, of 7, and of 0
    assert one.sent._thin == set()


def test_a_record_is_not_thin_while_a_quarter_of_it_is_news() -> None:
    one = Plain()
    one.said(*range(8))
    assert list(one.said(*range(6)).values()) == [[0, 1, 2, 3, 4, 5]]
    assert one.sent._thin == set()


@pytest.mark.parametrize(("others", "emptied"), [(23, True), (24, False)])
def test_thin_records_are_emptied_once_they_are_many_for_what_is_open(others: int, emptied: bool) -> None:
    one = Plain()
    one.said(*range(8))
    assert ([7] in one.said(*range(100, 100 + others), *range(7)).values()) is emptied
    assert (len(one.sent._thin) == 0) is emptied


def test_a_key_is_used_again_only_once_what_superseded_its_record_is_acknowledged() -> None:
    one = Plain()
    first, second, third = (key for _ in range(3) for key in one.said(7))
    assert len({first, second, third}) == 3
    one.sent.acknowledged(2)  # the second, that is; the third is on its way
    [again] = one.said(7)
    assert again == first
    one.sent.acknowledged(one.state.offset)
    assert {key for _ in range(2) for key in one.said(7)} == {second, third}


def test_records_go_to_the_partition_of_their_accounts() -> None:
    one = Compacted(1)
    one.fold(list(range(30)))
    made = one.checkpoint()
    assert {record.partition for record in made} == {0, 1}
    for record in made:
        assert {partition_of(row.account.encode(), 2) for row in Taken([record.value])} == {record.partition}
    assert len({record.key for record in made}) == len(made)


def test_keys_of_one_partition_are_not_used_on_another() -> None:
    one = Compacted(1)
    where: dict[bytes, set[int]] = {}
    for turn in range(20):
        one.fold([turn % 5, 9])
        for record in one.checkpoint():
            where.setdefault(record.key, set()).add(record.partition)
        one.sent.acknowledged(one.state.offset)
    assert all(len(found) == 1 for found in where.values())


def test_two_owners_share_no_key() -> None:
    first, second = Compacted(1), Compacted(1)
    first.fold([1, 2])
    second.fold([1, 2])
    rows = changed_rows(first.state, "topic", 3), changed_rows(second.state, "topic", 3)
    mine = {one.key for one in first.sent.records(first.state, rows[0], b"mine")}
    yours = {one.key for one in second.sent.records(second.state, rows[1], b"yours")}
    other = {one.key for one in Sent("topic", 4, Homes(2)).records(Compacted(1).state, WindowRows(), b"mine")}
    assert mine
    assert not mine & yours
    assert other == set()


def test_a_record_that_holds_closed_windows_too_is_never_written_over() -> None:
    one = Plain()
    [first] = one.said(*range(8))
    one.said(100, hour=1.5)
    one.close()
    assert len(one.sent._held) == 2  # nothing is closed yet
    one.fold([0], 2.6)  # now the first hour is
    one.close()
    assert one.sent._held.keys() == {1}
    one.acknowledged()
    assert first not in one.said(0, 100, hour=2.7)
    assert one.read() == one.newest


def test_what_is_thin_is_forgotten_with_its_windows_and_nothing_else_is_sent_again() -> None:
    one = Plain()
    one.said(*range(8))
    with mock.patch("processors.sent._WORTH_A_LOOK", 0):
        one.said(*range(7))
    assert one.sent._thin == {0}
    one.close()
    assert one.sent._thin == {0}
    assert list(one.said(50, 51, 52, hour=2.5).values()) == [[50, 51, 52], [7]]
    one.close()
    assert one.sent._thin == set()
    assert list(one.said(50, hour=2.5).values()) == [[50]]


def test_a_thin_record_with_rows_of_closed_windows_is_emptied_of_the_others_and_left() -> None:
    one = Plain()
    one.fold([0])
    [first] = one.said(*range(1, 10), hour=1)
    one.said(100, hour=2.6)  # closes the first hour
    one.close()
    assert list(one.said(*range(1, 9), hour=1.65).values()) == [[*range(1, 9)], [9]]
    assert 0 not in one.sent._held
    one.acknowledged()
    assert first not in {key for _ in range(3) for key in one.said(9, hour=1.65)}
    assert one.read() == one.newest


def test_thin_records_of_all_meters_are_emptied() -> None:
    one = Compacted(1)
    one.sent._homes = Homes(1)
    one.fold(list(range(8)))
    one.checkpoint()
    one.fold(list(range(7)))
    said = [[(row.subject, row.meter) for row in Taken([record.value])] for record in one.checkpoint()]
    assert {meter for rows in said for subject, meter in rows if subject == "zone-7"} == {"sum", "high", "users"}
    one.sent.acknowledged(one.state.offset)
    for _ in range(4):
        one.fold([0])
        one.checkpoint()
    assert one.read() == one.newest
    assert {held.rows for held in one.sent._held.values()} <= {1, 2, 3, 4, 5, 6, 7}
