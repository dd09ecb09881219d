"""Which rows leave after a checkpoint: those that changed, whose they are, and of members the chunks that are new."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.events import Decoder
from processors.meter import Batch, PartitionState
from processors.outputs import changed_rows, unpublished_rows
from processors.window_rows import WindowRow, WindowRows
from rating.contracts import Account

HOUR_MS = 3_600_000
TEN_MS = 1_793_613_600_000  # 2026-11-02T10:00:00Z
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", 3 * HOUR_MS),),
    meters=(Meter("s", 1, "a", "sum", "v", dimensions=("d",)), Meter("u", 1, "a", "unique", "d")),
    accounts=(Account("acme", ("z",)), Account("late", ("moved",), datetime(2026, 11, 2, 11, tzinfo=UTC))),
)


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    with mock.patch("processors.partials.CHUNK_MEMBERS", 2), mock.patch("processors.outputs.CHUNK_MEMBERS", 2):
        yield


@pytest.fixture
def state() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), 0))


def fold(state: PartitionState, subject: str, *members: str, hour: int = 10) -> None:
    """An event for each of the members, each a message."""
    values = [
        msgspec.json.encode(
            {"specversion": "1.0", "id": f"{state.offset + at}", "source": "s", "type": "a", "subject": subject}
            | {"time": f"2026-11-02T{hour}:00:00Z", "data": {"d": member, "v": 7}}
        )
        for at, member in enumerate(members)
    ]
    stamps = np.full(len(values), TEN_MS + 2 * HOUR_MS)
    assert state.fold(Batch(values, state.offset + np.arange(len(values)), stamps)) == []


def settle(state: PartitionState) -> None:
    for table in state.tables.values():
        table.settle()


def chunks(rows: WindowRows) -> list[tuple[int, int, int, int]]:
    """Chunk, offset, events and how many members of each row of `u`."""
    return [(row.chunk, row.offset, row.events, len(row.members) // 16) for row in rows if row.meter == "u"]


def members(rows: WindowRows) -> list[bytes]:
    return [row.members for row in rows if row.chunk]


def test_of_members_the_chunks_leave_that_new_ones_went_into(state: PartitionState) -> None:
    fold(state, "z", "a", "b", "c")
    assert chunks(changed_rows(state, "T", 0)) == [(0, 2, 3, 0), (1, 1, 0, 2), (2, 2, 0, 1)]
    settle(state)
    assert chunks(changed_rows(state, "T", 0)) == []
    fold(state, "z", "d", "e")
    assert chunks(changed_rows(state, "T", 0)) == [(0, 4, 5, 0), (2, 3, 0, 2), (3, 4, 0, 1)]
    settle(state)
    fold(state, "z", "a")
    assert chunks(changed_rows(state, "T", 0)) == [(0, 5, 6, 0)], "no member is new"
    settle(state)
    fold(state, "z", "f")
    assert chunks(changed_rows(state, "T", 0)) == [(0, 6, 7, 0), (3, 6, 0, 2)]
    settle(state)
    fold(state, "z", "a")
    assert chunks(changed_rows(state, "T", 0)) == [(0, 7, 8, 0)]
    held = state.tables["u", 1].sets[0].rows.tobytes()
    assert members(unpublished_rows(state, 0, "T", 0)) == [held[at : at + 32] for at in range(0, 96, 32)]


def test_what_may_be_unacknowledged_is_sent_again_chunk_by_chunk(state: PartitionState) -> None:
    fold(state, "z", "a", "b", "c")
    fold(state, "y", "a")
    fold(state, "z", "d", "e")
    settle(state)
    z = [(0, 5, 5, 0), (1, 1, 0, 2), (2, 4, 0, 2), (3, 5, 0, 1)]
    y = [(0, 3, 1, 0), (1, 3, 0, 1)]
    for published, expected in (
        (0, [*z[:1], *y[:1], *z[1:], *y[1:]]),
        (2, [*z[:1], *y[:1], *z[2:], *y[1:]]),
        (4, [z[0], *z[2:]]),
        (5, [z[0], z[3]]),
        (6, []),
    ):
        assert chunks(unpublished_rows(state, published, "T", 0)) == expected


def test_a_row_is_of_who_has_its_subject_as_its_window_begins(state: PartitionState) -> None:
    for subject in ("z", "moved", "nobody"):
        for hour in (10, 11):
            fold(state, subject, "a", hour=hour)
    rows = list(changed_rows(state, "T", 3))
    assert {(row.subject, (row.window_start_ms - TEN_MS) // HOUR_MS, row.account) for row in rows} == {
        *(("z", 0, "acme"), ("z", 1, "acme"), ("moved", 0, "moved"), ("moved", 1, "late")),
        *(("nobody", 0, "nobody"), ("nobody", 1, "nobody")),
    }
    assert {(row.topic, row.partition) for row in rows} == {("T", 3)}


def test_a_row_holds_the_numbers_of_its_partial(state: PartitionState) -> None:
    fold(state, "z", "a", "a", "b")
    rows = [row for row in changed_rows(state, "T", 0) if row.meter == "s"]
    assert rows == [
        WindowRow("s", 1, "z", ["a"], "acme", TEN_MS, "T", 0, 0, 1, 2, 0, 14, 0, 0, 0, 0, b""),
        WindowRow("s", 1, "z", ["b"], "acme", TEN_MS, "T", 0, 0, 2, 1, 0, 7, 0, 0, 0, 0, b""),
    ]


def test_chunks_of_members_say_nothing_but_which_they_are(state: PartitionState) -> None:
    fold(state, "z", "a")
    state_row, chunk = (row for row in changed_rows(state, "T", 0) if row.meter == "u")
    held = state.tables["u", 1].sets[0].rows.tobytes()
    assert (state_row.events, state_row.members) == (1, b"")
    assert chunk == WindowRow("u", 1, "z", [], "acme", TEN_MS, "T", 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, held)
