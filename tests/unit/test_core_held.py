"""What those who only look see of a state: its rows, its identities, and that looking never claims anything."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Settings
from processors.admission import Settled
from processors.checkpoint import Head, Recorder, Snapshot
from processors.events import Decoder
from processors.held import HeldRow, look
from processors.meter import Batch, PartitionState
from processors.partials import DamagedError
from processors.window_rows import WindowRow
from tests.simulation.slots import FakeSlot, SlotStore

NOON_MS = 1_793_620_800_000
SETTINGS = Settings()
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", 3_600_000),),
    meters=(
        Meter("n", 1, "a", "sum", "v", dimensions=("d",), allow_negative=True),
        Meter("u", 1, "a", "unique", "d"),
        Meter("g", 1, "a", "gauge", "v", allow_negative=True),
    ),
)


def state_of(*events: tuple[str, int]) -> PartitionState:
    """One event a second: its dimension, and its value."""
    limits = SETTINGS.limits
    state = PartitionState(CATALOGUE, limits, Decoder(CATALOGUE, limits, SETTINGS.processing.skew_ms))
    values = [
        msgspec.json.encode(
            {"specversion": "1.0", "id": str(n), "source": "s", "type": "a", "subject": "z"}
            | {"time": f"2026-11-02T12:00:{n:02}Z", "data": {"d": text, "v": value}}
        )
        for n, (text, value) in enumerate(events)
    ]
    state.fold(Batch(values, np.arange(len(values)), np.full(len(values), NOON_MS + 60_000)))
    assert state.ledger.accepted == len(events)
    return state


class Looked(FakeSlot):
    """A slot that can be looked at; `before_load` is what its owner does meanwhile."""

    before_load: Callable[[], None] = staticmethod(lambda: None)
    looks = 0

    def peek(self) -> Head | None:
        self.looks += 1
        body = self.store.now.fields.get("body")
        return msgspec.msgpack.decode(body, type=Head) if body is not None else None

    def load(self, head: Head) -> Snapshot:
        self.before_load()
        return super().load(head)


def slot_of(state: PartitionState) -> Looked:
    slot = Looked(SlotStore(), random.Random(1))
    slot.claim(1)
    slot.write(Recorder(state, 2**20).checkpoint(0, 1))
    return slot


def rows_of(slot: Looked) -> list[HeldRow]:
    held = look(slot, CATALOGUE, SETTINGS)  # type: ignore[arg-type]
    assert held is not None
    return list(held.rows())


def test_every_partial_is_a_row_with_its_numbers_whole() -> None:
    state = state_of(("x", 2**33 + 5), ("y", -7), ("x", 1))
    rows = {(one.key, one.series): one for one in rows_of(slot_of(state)) if one.key[0] == "n"}
    assert set(rows) == {(("n", 1), ("z", "x")), (("n", 1), ("z", "y"))}
    assert [(one.sum, one.events, one.offset) for one in rows.values()] == [
        (2**33 + 6, 2, 2),
        (-7, 1, 1),
    ]
    assert {(one.start_ms, one.admission, one.members) for one in rows.values()} == {(NOON_MS, 0, None)}


def test_what_came_back_is_a_row_of_its_own_and_a_row_of_the_first_message_is_one_too() -> None:
    state = state_of(("x", 3))
    row = WindowRow("n", 1, "y", ["w"], "", NOON_MS, "", 0, 0, 0, 2, 1, 5, 0, 0, 0, 0, b"", 1)
    state.admissions.pending = {0: Settled([row], [])}
    rows = [one for one in rows_of(slot_of(state)) if one.key == ("n", 1)]
    assert rows == [
        HeldRow(("n", 1), ("z", "x"), NOON_MS, 0, 0, 1, 3, 0, 0, 0, None, 0),
        HeldRow(("n", 1), ("y", "w"), NOON_MS, 0, 0, 2, 2**32 + 5, 0, 0, 0, None, 1),
    ]


def test_members_of_a_unique_meter_and_samples_of_a_gauge_are_told_by_identity() -> None:
    state = state_of(("x", 4), ("y", -7), ("x", 1))
    held = rows_of(slot_of(state))
    unique = [one for one in held if one.key[0] == "u" and one.members is not None]
    halves = state.tables["u", 1].sets[0].keys.tolist()
    assert [one.members for one in unique] == [frozenset((high << 64) | low for high, low in halves)]
    gauge = [one for one in held if one.key[0] == "g" and one.members is not None]
    (hour,) = state.identities.hours.values()
    ids = [(high << 64) | low for high, low in hour.keys.tolist()]
    times = [(NOON_MS + 1000 * second) * 1000 for second in range(3)]
    assert [one.members for one in gauge] == [frozenset(zip(times, ids, (4, -7, 1), strict=True))]
    newest = next(one for one in held if one.key[0] == "g")
    assert (newest.time_us, newest.identity) == (times[2], ids[2])


def test_identities_are_those_of_the_open_hours() -> None:
    state = state_of(("x", 4), ("y", 7))
    held = look(slot_of(state), CATALOGUE, SETTINGS)  # type: ignore[arg-type]
    assert held is not None
    assert {hour: len(ids) for hour, ids in held.hours().items()} == {NOON_MS // 3_600_000: 2}
    assert held.ledger["accepted"] == 2


def test_where_there_is_no_checkpoint_there_is_nothing_to_see() -> None:
    slot = Looked(SlotStore(), random.Random(1))
    assert look(slot, CATALOGUE, SETTINGS) is None  # type: ignore[arg-type]
    assert slot.token == b"", "looking claims nothing"


def test_a_damaged_state_whose_head_stands_still_is_damaged() -> None:
    slot = slot_of(state_of(("x", 4)))
    slot.store.evict("state:0")
    with pytest.raises(DamagedError):
        look(slot, CATALOGUE, SETTINGS)  # type: ignore[arg-type]
    assert slot.looks == 2, "it looked whether an owner had moved on"


def test_chunks_that_an_owner_replaces_meanwhile_are_looked_at_again() -> None:
    slot, moved = slot_of(state_of(("x", 4))), slot_of(state_of(("x", 4), ("y", 5)))

    def replace() -> None:
        slot.store.now = moved.store.now
        del slot.before_load

    slot.before_load = replace
    held = look(slot, CATALOGUE, SETTINGS)  # type: ignore[arg-type]
    assert held is not None
    assert (held.head.offset, held.ledger["accepted"]) == (2, 2)


def test_a_checkpoint_that_vanishes_meanwhile_leaves_nothing_to_see() -> None:
    slot = slot_of(state_of(("x", 4)))
    slot.before_load = slot.store.lose
    assert look(slot, CATALOGUE, SETTINGS) is None  # type: ignore[arg-type]


def test_a_state_that_moves_on_at_every_look_is_given_up_after_twenty() -> None:
    slot, offsets = slot_of(state_of(("x", 4))), iter(range(100, 200))

    def move() -> None:
        slot.store.evict("state:0")
        head = msgspec.msgpack.decode(slot.store.now.fields["body"], type=Head)
        slot.store.now.fields["body"] = msgspec.msgpack.encode(msgspec.structs.replace(head, offset=next(offsets)))

    slot.before_load = move
    with pytest.raises(DamagedError, match="faster"):
        look(slot, CATALOGUE, SETTINGS)  # type: ignore[arg-type]
    assert slot.looks == 21
