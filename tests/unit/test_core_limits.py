"""I7: what is bounded refuses as defined, event by event."""

from __future__ import annotations

from unittest import mock

import msgspec
import numpy as np
import pytest

from config.catalogue import Catalogue, EventType, Meter
from config.settings import Limits
from processors import meter
from processors.events import Decoder
from processors.limits import refused_by
from processors.meter import Batch, Letter, PartitionState

HOUR_MS = 3_600_000
NOON_MS = 1_793_620_800_000


def catalogue(*meters: Meter) -> Catalogue:
    return Catalogue(1, events=(EventType("a", HOUR_MS),), meters=meters)


SETS = catalogue(Meter("m", 1, "a", "count", dimensions=("d",)))
MEMBERS = catalogue(Meter("u", 1, "a", "unique", "d"))


def fold(known: Catalogue, limits: Limits, texts: list[str], ids: list[int] | None = None) -> list[str]:
    """One event for each text, in one batch; the verdict of each."""
    state = PartitionState(known, limits, Decoder(known, limits, 0))
    return verdicts(state, texts, ids)


def verdicts(state: PartitionState, texts: list[str], ids: list[int] | None = None, at_ms: int = NOON_MS) -> list[str]:
    values = [
        msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": str(number),
                "source": "s",
                "type": "a",
                "subject": "z",
                "time": f"2026-11-02T{12 + (at_ms - NOON_MS) // HOUR_MS}:00:00Z",
                "data": {"d": text},
            }
        )
        for number, text in zip(ids or range(len(texts)), texts, strict=True)
    ]
    before = msgspec.structs.replace(state.ledger)
    batch = Batch(values, state.offset + np.arange(len(values)), np.full(len(values), at_ms))
    letters: dict[int, Letter] = {letter.offset: letter for letter in state.fold(batch)}
    assert state.ledger.consumed - before.consumed == len(values)
    assert state.ledger.invalid - before.invalid == len(letters)
    return [letters[offset].reason if offset in letters else "taken" for offset in batch.offset.tolist()]


def limits(**bounds: int) -> Limits:
    return Limits(**bounds)


def test_i7_a_window_takes_dimension_sets_max_combinations_and_no_more() -> None:
    said = fold(SETS, limits(dimension_sets_max=2), ["x", "y", "x", "z", "y", "w"])
    assert [one[:6] for one in said] == ["taken", "taken", "taken", "limit:", "taken", "limit:"]
    assert "dimension_sets_max=2" in said[3]


def test_i7_a_window_takes_unique_max_values_and_no_more() -> None:
    said = fold(MEMBERS, limits(unique_max=2), ["x", "y", "x", "z", "y", "w"])
    assert [one[:6] for one in said] == ["taken", "taken", "taken", "limit:", "taken", "limit:"]
    assert "unique_max=2" in said[3]


@pytest.mark.parametrize(
    "test",
    [
        test_i7_a_window_takes_dimension_sets_max_combinations_and_no_more,
        test_i7_a_window_takes_unique_max_values_and_no_more,
    ],
)
def test_i7_catches_no_limit_and_a_limit_looked_at_once_a_batch(test: object) -> None:
    broken = (
        lambda _table, chosen, *_: (np.zeros(len(chosen.offset), np.bool_), False),
        lambda *args: (refused_by(*args)[0], False),
    )
    for variant in broken:
        with mock.patch.object(meter, "refused_by", variant), pytest.raises(AssertionError):
            test()  # type: ignore[operator]


def test_an_event_over_a_limit_leaves_no_trace() -> None:
    """It is no twin of a later one, and no other meter counts it."""
    known = catalogue(Meter("m", 1, "a", "count", dimensions=("d",)), Meter("n", 1, "a", "count"))
    bounds = limits(dimension_sets_max=1)
    state = PartitionState(known, bounds, Decoder(known, bounds, 0))
    said = verdicts(state, ["x", "y", "y", "x", "x"], [1, 2, 2, 2, 1])
    assert [one[:6] for one in said] == ["taken", "limit:", "limit:", "taken", "taken"]
    assert (state.ledger.accepted, state.ledger.duplicate, state.ledger.invalid) == (2, 1, 2)
    assert state.tables[("n", 1)].column("events").tolist() == [2]


def test_a_limit_counts_what_earlier_batches_brought() -> None:
    state = PartitionState(SETS, limits(dimension_sets_max=2), Decoder(SETS, limits(dimension_sets_max=2), 0))
    assert verdicts(state, ["x"], [1]) == ["taken"]
    assert [one[:5] for one in verdicts(state, ["y", "z"], [2, 3])] == ["taken", "limit"]
    assert [one[:5] for one in verdicts(state, ["w"], [4])] == ["limit"]
    members = PartitionState(MEMBERS, limits(unique_max=2), Decoder(MEMBERS, limits(unique_max=2), 0))
    assert verdicts(members, ["x", "y"], [1, 2]) == ["taken", "taken"]
    assert [one[:5] for one in verdicts(members, ["z"], [3])] == ["limit"]


def test_a_combination_of_one_window_is_new_in_another() -> None:
    state = PartitionState(SETS, limits(dimension_sets_max=1), Decoder(SETS, limits(dimension_sets_max=1), 0))
    assert verdicts(state, ["x"], [1]) == ["taken"]
    assert verdicts(state, ["y"], [2], NOON_MS + HOUR_MS) == ["taken"]
    assert [one[:5] for one in verdicts(state, ["y", "x"], [3, 4])] == ["limit", "taken"]


def test_a_batch_over_one_limit_is_cut_though_the_other_has_room() -> None:
    known = catalogue(Meter("u", 1, "a", "unique", "d", dimensions=("d",)))
    assert [one[:5] for one in fold(known, limits(dimension_sets_max=1), ["x", "y"])] == ["taken", "limit"]


@pytest.mark.parametrize("first", ["few", "many"])
def test_i7_each_window_of_a_batch_is_held_against_its_own_members(first: str) -> None:
    """One with room says nothing of one without, whichever comes first."""
    limit, dims = limits(unique_max=2), catalogue(Meter("u", 1, "a", "unique", "v", dimensions=("d",)))
    state = PartitionState(dims, limit, Decoder(dims, limit, 0))
    texts = ["few", "many", "many", "many"] if first == "few" else ["many", "many", "many", "few"]
    values = [
        msgspec.json.encode(
            {"specversion": "1.0", "id": str(n), "source": "s", "type": "a", "subject": "z"}
            | {"time": "2026-11-02T12:00:00Z", "data": {"d": text, "v": n}}
        )
        for n, text in enumerate(texts)
    ]
    state.fold(Batch(values[:1], np.arange(1), np.full(1, NOON_MS)))
    letters = state.fold(Batch(values[1:], np.arange(1, 4), np.full(3, NOON_MS)))
    third = [place for place, text in enumerate(texts) if text == "many"][2]
    assert [letter.offset for letter in letters] == [third]


def test_a_full_window_says_nothing_of_the_next() -> None:
    state = PartitionState(SETS, limits(dimension_sets_max=1), Decoder(SETS, limits(dimension_sets_max=1), 0))
    assert [one[:5] for one in verdicts(state, ["x", "y"], [1, 2])] == ["taken", "limit"]
    assert verdicts(state, ["y", "y"], [3, 4], NOON_MS + HOUR_MS) == ["taken", "taken"]


def test_which_of_two_full_meters_refused_does_not_change_the_reason() -> None:
    known = catalogue(Meter("u", 1, "a", "unique", "d"), Meter("m", 1, "a", "count", dimensions=("d",)))
    together = fold(known, limits(unique_max=2, dimension_sets_max=2), ["x", "y", "z"])
    bounds = limits(unique_max=2, dimension_sets_max=2)
    state = PartitionState(known, bounds, Decoder(known, bounds, 0))
    assert together == [verdicts(state, [text], [number])[0] for number, text in enumerate("xyz")]
