"""The digest of all that is open: the same value for ever, and another one for any difference in what a bill rests on.

It is stored in marks: a restore by other code must come to the same value, or the worker stops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors.events import Decoder
from processors.identity import DigestSet
from processors.meter import Batch, PartitionState

HOUR_MS = 3_600_000
LATENESS_MS = 3 * HOUR_MS
NOON_MS = 1_793_620_800_000  # 2026-11-02
CATALOGUE = Catalogue(
    1,
    events=(EventType("a", LATENESS_MS), EventType("b", 5 * HOUR_MS)),
    meters=(
        Meter("c", 1, "a", "count", dimensions=("d",)),
        Meter("s", 1, "a", "sum", "v", dimensions=("d", "e"), precision=2, allow_negative=True),
        Meter("m", 1, "b", "avg", "v", allow_negative=True),
        Meter("top", 1, "b", "max", "v", allow_negative=True, window="1d"),
        Meter("l", 1, "a", "latest", "v", allow_negative=True),
        Meter("u", 1, "b", "unique", "d"),
        Meter("g", 1, "a", "gauge", "v", allow_negative=True),
    ),
)


def empty() -> PartitionState:
    return PartitionState(CATALOGUE, Limits(), Decoder(CATALOGUE, Limits(), 0))


def event(number: int, kind: str = "a", minute: int = 0, **changes: Any) -> dict[str, Any]:
    known = {"specversion": "1.0", "id": str(number), "source": "s", "type": kind, "subject": f"z{number % 2}"}
    known["time"] = f"2026-11-02T{10 + minute // 60}:{minute % 60:02}:00Z"
    data = {"d": f"d{number % 3}", "e": "é", "v": (-1) ** number * number * 1_000_000_007}
    return known | {"data": data} | changes


EVENTS = [
    *(event(number, "ab"[number % 2], 13 * number) for number in range(9)),
    *(event(9, minute=118, source="n", sequencetype="tollstream", sequence=str(number)) for number in (1, 2, 3, 7)),
]


def state_of(events: list[dict[str, Any]]) -> PartitionState:
    state = empty()
    values = [msgspec.json.encode(one) for one in events]
    state.fold(Batch(values, np.arange(len(values)), np.full(len(values), NOON_MS)))
    assert state.ledger.accepted == len(events)
    bucket = state.admissions.buckets.setdefault(NOON_MS // HOUR_MS, DigestSet())
    bucket.add(np.array([[1, 2], [2**63, 2**64 - 1]], np.uint64))
    return state


@pytest.fixture
def state() -> PartitionState:
    return state_of(EVENTS)


def test_it_is_what_it_always_was(state: PartitionState) -> None:
    assert empty().open_digest() == "0" * 32
    assert state.open_digest() == "2ba0ab63642370677c2e17691dccda41"


def test_the_order_of_arrival_does_not_change_it(state: PartitionState) -> None:
    backwards = state_of(EVENTS[::-1])
    for key, table in backwards.tables.items():  # the offsets of the last events are part of what is told
        other = state.tables[key]
        rows = {(other.series_at(row), int(other.column("window")[row])): row for row in range(len(other))}
        for row in range(len(table)):
            place = rows[table.series_at(row), int(table.column("window")[row])]
            table.column("offset")[row] = other.column("offset")[place]
    assert backwards.open_digest() == state.open_digest()


def _more(column: str) -> Callable[[PartitionState], None]:
    def change(state: PartitionState) -> None:
        key = next(key for key, table in state.tables.items() if column in (table.dtype.names or ()))
        state.tables[key].column(column)[0] += 1

    return change


def _another_sample(state: PartitionState) -> None:
    state.tables["g", 1].sets[0]._readings[0, 1] += 1


def _another_hour(state: PartitionState) -> None:
    first, second = sorted(state.identities.hours)
    hours = state.identities.hours
    hours[first], hours[second] = hours[second], hours[first]


def _as_an_admission(state: PartitionState) -> None:
    hour = min(state.identities.hours)
    state.admissions.buckets[hour] = state.identities.hours.pop(hour)


def _one_more_identity(state: PartitionState) -> None:
    state.identities.hours[min(state.identities.hours)].add(np.zeros((1, 2), np.uint64))


def _another_number(state: PartitionState) -> None:
    (day,) = state.sequences.days.values()
    day.total[1] += np.uint64(1)


def _another_day(state: PartitionState) -> None:
    ((number, day),) = state.sequences.days.items()
    state.sequences.days = {number + 1: day}


def _another_version(state: PartitionState) -> None:
    state.meters["l", 2] = state.meters["l", 1]
    state.tables["l", 2] = state.tables.pop(("l", 1))


def _another_meter(state: PartitionState) -> None:
    state.meters["k", 1] = state.meters["l", 1]
    state.tables["k", 1] = state.tables.pop(("l", 1))


def _samples_exchanged(state: PartitionState) -> None:
    sets = state.tables["g", 1].sets
    sets[0], sets[-1] = sets[-1], sets[0]


COLUMNS = ("window", "offset", "events", "sum_hi", "sum_lo", "value", "time_us", "id_hi", "id_lo", "members")


@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(_more(column), id=column) for column in COLUMNS),
        *(_another_sample, _another_hour, _as_an_admission, _one_more_identity, _another_number, _another_day),
        *(_another_version, _another_meter, _samples_exchanged),
    ],
)
def test_any_difference_changes_it(state: PartitionState, change: Callable[[PartitionState], None]) -> None:
    before = state.open_digest()
    change(state)
    assert state.open_digest() != before


def test_what_is_closed_does_not_change_it(state: PartitionState) -> None:
    """A window whose last millisecond is as late as allowed counts; one that ends as the lateness begins does not."""
    table = state.tables["c", 1]
    assert sorted(set(table.column("window").tolist())) == [NOON_MS - 2 * HOUR_MS, NOON_MS - HOUR_MS]
    ends = table.column("window") + HOUR_MS
    for clock_ms, counts in ((int(ends.min()) + LATENESS_MS - 1, True), (int(ends.min()) + LATENESS_MS, False)):
        state.clock_ms = clock_ms
        before = state.open_digest()
        table.column("events")[int(ends.argmin())] += 1
        assert (state.open_digest() != before) == counts


def test_a_table_without_open_rows_is_as_good_as_none(state: PartitionState) -> None:
    state.clock_ms = NOON_MS + 30 * HOUR_MS
    before = state.open_digest()
    del state.tables["c", 1]
    assert state.open_digest() == before
