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
from processors.limits import out_of_reach, refused_by
from processors.meter import Batch, Letter, PartitionState
from processors.partials import PartialTable
from tests.unit.test_core_windows import selection

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


def members_refused(known: str, batch: str) -> list[int]:
    """Places of a batch of two-letter words, window and member, that are refused where two members are the limit;
    after the words of `known`."""
    limit, windows = limits(unique_max=2), catalogue(Meter("u", 1, "a", "unique", "v", dimensions=("d",)))
    state, said = PartitionState(windows, limit, Decoder(windows, limit, 0)), list[Letter]()
    for words in (known.split(), batch.split()):
        values = [
            msgspec.json.encode(
                {"specversion": "1.0", "id": f"{state.offset + n}", "source": "s", "type": "a", "subject": "z"}
                | {"time": "2026-11-02T12:00:00Z", "data": {"d": word[0], "v": word[1]}}
            )
            for n, word in enumerate(words)
        ]
        began = state.offset
        said = state.fold(Batch(values, began + np.arange(len(values)), np.full(len(values), NOON_MS)))
    return sorted(letter.offset - began for letter in said)


def test_i7_each_window_of_a_batch_is_held_against_its_own_members() -> None:
    """One with room says nothing of one without, whichever comes first."""
    assert members_refused("A1 A2 B1", "B2 A3") == [1]
    assert members_refused("A1 A2 B1", "A3 B2") == [0]
    assert members_refused("A1 B1", "A2 A3 B1 B1") == [1]
    assert members_refused("A1 B1", "B1 B1 A2 A3") == [3]


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


def test_sets_of_dimensions_are_counted_over_all_subjects_before_those_of_one_are() -> None:
    table = PartialTable("count", HOUR_MS)
    events = [((subject, value), 0, 0, (1, 1), 1, 1) for subject, value in ("ax", "ay", "bx", "cz", "by")]
    chosen = selection("count", events, 0)
    table.fold(chosen)
    assert (table.dimension_sets, table.counts.most) == (3, 2)
    named = chosen.named  # of three sets
    reaches = {most: out_of_reach(table, named, 5, 9, most) for most in range(4, 8)}
    assert reaches == {4: False, 5: True, 6: True, 7: True}, "two of one subject and three more"
    assert out_of_reach(table, named, 2, 9, 4), "no more sets than events"
    table.fold(selection("count", [(("c", "w"), 0, 0, (1, 1), 1, 1), (("c", "x"), 1, 0, (1, 1), 1, 1)], 0))
    assert (table.dimension_sets, table.counts.most) == (4, 2)
    assert table.counts.of(["a", "c", "c"], np.array([0, 0, 1])).tolist() == [2, 2, 1]


def test_as_many_members_as_there_may_be_are_within_reach() -> None:
    table = PartialTable("unique", HOUR_MS)
    chosen = selection("unique", [(("a", "x"), 0, 0, (1, 1), 1, member) for member in (1, 2)], 0)
    table.fold(chosen)
    assert [out_of_reach(table, chosen.named, events, 5, 99) for events in (3, 4)] == [True, False]
