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


def test_a_key_is_used_again_only_once_what_superseded_its_record_is_acknowledged() -> None:
    one = Compacted(1)
    keys: list[set[bytes]] = []
    for _ in range(4):
        one.fold([7])
        rows = changed_rows(one.state, "topic", 3)
        for table in one.state.tables.values():
            table.settle()
        keys.append({record.key for record in one.sent.records(one.state, rows, b"token")})
    alone = {key for key in keys[0] if key in keys[1]}  # chunks of members have their own key, ever the same
    assert not (keys[0] & keys[1]) - alone
    assert not (keys[1] & keys[3]) - alone
    one.sent.acknowledged(one.state.offset - 1)  # all but the last one
    one.fold([7])
    rows = changed_rows(one.state, "topic", 3)
    again = {record.key for record in one.sent.records(one.state, rows, b"token")} - alone
    assert again <= keys[0] | keys[1]
    assert not again & keys[3]


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


def test_what_is_remembered_of_records_goes_with_their_windows() -> None:
    one = Compacted(2)
    for hour in range(6):
        one.fold(list(range(30)), hour)
        one.checkpoint()
        one.close()
        with mock.patch("processors.sent._WORTH_A_LOOK", 0):
            assert len(one.sent._held) <= 3 * 2 * 3
