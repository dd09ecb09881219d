"""Packed numbers, field by field: what a checkpoint writes of a day, and what it takes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processors import sequence_log
from processors.partials import DamagedError
from processors.sequences import DAY_US, Numbered, Sequences, identities

SOURCES = np.array([[1, 2], [3, 4], [5, 6]], np.uint64)
KEYS = [SOURCES[[place]].tobytes() for place in range(3)]


def numbered(*events: tuple[int, int, int]) -> Numbered:
    """Of (source, number, time in milliseconds)."""
    source, number, time_ms = np.array(events, np.int64).reshape(-1, 3).T
    return Numbered(source, number, time_ms * 1000, identities(SOURCES[source], number), SOURCES)


def made(intervals_max: int = 1) -> Sequences:
    """Two days; on the second a source with strays."""
    ours = Sequences(intervals_max)
    day_ms = DAY_US // 1000
    for batch in (((0, 4, 7), (1, 5, 8)), ((2, 1, day_ms), (2, 2, day_ms + 70_000), (2, 4, day_ms), (1, 9, day_ms))):
        ours.add(numbered(*batch))
    return ours


def ints(*values: int) -> bytes:
    return np.array(values, "<i8").tobytes()


def small(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


def summed(*members: tuple[int, int]) -> bytes:
    events = numbered(*((source, number, 0) for source, number in members))
    return events.identity.sum(axis=0, dtype=np.uint64).tobytes()


def hole(source: int, number: int) -> bytes:
    return (numbered((source, number, 0)).identity ^ np.uint64(0xA5A5A5A5A5A5A5A5)).tobytes()


FIRST = [0, summed((0, 4), (1, 5)), 0, KEYS[0] + KEYS[1], small(0, 1), small(7, 8), b"\1\1", ints(4, 5), ints(4, 5)]
SECOND = summed((2, 1), (2, 2), (2, 4), (1, 9))


def test_what_changed_is_packed_with_all_that_is_new_and_once() -> None:
    ours = made()
    first, second = sequence_log.changes(ours)
    assert first == [*FIRST, 0, b""]
    slots = {key: slot for slot, key in enumerate(map(bytes, ours.days[1].sources.keys))}
    assert second[:4] == [1, SECOND, 0, ours.days[1].sources.keys.tobytes()]
    assert second[4:6] == [small(0, 1), small(*([70_000, 0] if slots[KEYS[2]] == 0 else [0, 70_000]))]
    assert sorted(second[6]) == [0x01, 0x81]
    assert second[9:] == [0, hole(2, 3)]
    sequence_log.settle(ours)
    assert sequence_log.changes(ours) == []
    ours.add(numbered((1, 6, 9), (2, 1, 3), (2, 3, 2)))
    (again,) = sequence_log.changes(ours)
    total = summed((0, 4), (1, 5), (1, 6), (2, 1), (2, 3))
    assert again == [0, total, 2, KEYS[2], small(1, 2), small(9, 3), b"\1\x81", ints(5, 1), ints(6, 3), 0, hole(2, 2)]


def test_everything_is_packed_in_pieces_of_so_many_sources_and_then_of_so_many_strays() -> None:
    ours = Sequences(1)
    ours.add(numbered((0, 4, 7), (1, 5, 8), (2, 6, 9)))
    ours.add(numbered((0, 6, 7), (0, 8, 0), (1, 7, 8)))
    strays = ours.days[0].strays.keys
    assert len(strays) == 3
    total = summed((0, 4), (1, 5), (2, 6), (0, 6), (0, 8), (1, 7))
    rows = [
        [0, total, 0, KEYS[0], small(0), small(7), b"\x81", ints(4), ints(8), 0, b""],
        [0, total, 1, KEYS[1], small(1), small(8), b"\x81", ints(5), ints(7), 0, b""],
        [0, total, 2, KEYS[2], small(2), small(9), b"\1", ints(6), ints(6), 0, b""],
    ]
    ends = [[0, total, 3, b"", b"", b"", b"", b"", b"", at, strays[at : at + 1].tobytes()] for at in range(3)]
    assert list(sequence_log.pieces(ours, 1)) == [*rows, *ends]
    two = list(sequence_log.pieces(ours, 2 * (16 + 4 + 4 + 1 + 16)))
    assert [(len(pack[3]) // 16, pack[9], len(pack[10]) // 16) for pack in two] == [(2, 0, 0), (1, 0, 0), (0, 0, 3)]
    one = list(sequence_log.pieces(ours, 2 * (16 + 4 + 4 + 1 + 16) - 1))
    assert [(len(pack[3]) // 16, pack[9], len(pack[10]) // 16) for pack in one] == [(1, 0, 0)] * 3 + [(0, 0, 3)]
    assert [len(pack[10]) // 16 for pack in sequence_log.pieces(ours, 47)] == [0, 0, 0, 2, 1]
    assert list(sequence_log.pieces(Sequences(1), 100)) == []


def test_what_is_packed_comes_back_whole_in_one_or_in_pieces() -> None:
    for intervals_max in (1, 3):
        ours = made(intervals_max)
        for packs in (sequence_log.changes(ours), list(sequence_log.pieces(ours, 1))):
            back = Sequences(intervals_max)
            for pack in packs:
                sequence_log.unpack(back, pack)
            sequence_log.finish(back)
            assert sequence_log.changes(back) == [], "all of it is in the checkpoint"
            assert {one.starts.shape[1] for one in back.days.values()} <= {1, intervals_max - 1}
            assert list(sequence_log.pieces(back, 1 << 20)) == list(sequence_log.pieces(ours, 1 << 20))
            assert [one.digest().tolist() for one in back.days.values()] == [
                one.digest().tolist() for one in ours.days.values()
            ]
            new, _ = back.add(numbered((0, 4, 7), (1, 5, 8), (0, 5, 7), (2, 4, DAY_US // 1000), (2, 3, DAY_US // 1000)))
            assert new.tolist() == [False, False, True, False, True]
            assert back.days[1].total.dtype.name == "uint64"


def test_a_later_row_of_a_source_wins_and_has_no_more_intervals_than_it_says() -> None:
    ours, back = Sequences(3), Sequences(3)
    for numbers in ((1, 3, 5), (2, 4)):
        ours.add(numbered(*((0, number, 0) for number in numbers)))
        for pack in sequence_log.changes(ours):
            sequence_log.unpack(back, pack)
        sequence_log.settle(ours)
    sequence_log.finish(back)
    day = back.days[0]
    assert (day.count[0], day.starts[0].tolist(), day.ends[0].tolist()) == (1, [1, 2**63 - 1, 2**63 - 1], [5, -1, -1])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, b"\0" * 15, "cut off"),
        (4, small(0), "cut off"),
        (5, small(7), "cut off"),
        (6, b"\1", "cut off"),
        (7, ints(4), "cut off"),
        (8, ints(4, 5, 6), "cut off"),
        (6, b"\1\2", "cut off"),
        (3, KEYS[0] + KEYS[1][:-1], "end within a digest"),
        (10, b"\0" * 15, "end within a digest"),
        (2, 1, "from 1 and 0"),
        (9, 1, "from 0 and 1"),
        (3, KEYS[0] + KEYS[0], "hold a digest twice"),
        (10, KEYS[0] + KEYS[0], "hold a digest twice"),
        (4, small(0, 0), "hold a source twice"),
        (4, small(0, 2), "of a source that is not there"),
    ],
)
def test_a_field_that_does_not_fit_the_others_is_damage(place: int, value: Any, message: str) -> None:
    pack: list[Any] = [*FIRST, 0, b""]
    sequence_log.unpack(Sequences(1), pack)
    pack[place] = value
    with pytest.raises(DamagedError, match=message):
        sequence_log.unpack(Sequences(1), pack)


def test_a_source_without_a_number_is_damage_at_the_end_alone() -> None:
    """Its row may come in a later piece."""
    back = Sequences(1)
    sequence_log.unpack(back, [*FIRST[:4], small(0), small(7), b"\1", ints(4), ints(4), 0, b""])
    with pytest.raises(DamagedError, match="a source of day 0 has no number"):
        sequence_log.finish(back)
    sequence_log.unpack(back, [0, FIRST[1], 2, b"", small(1), small(8), b"\1", ints(5), ints(5), 0, b""])
    sequence_log.finish(back)


def test_a_log_is_long_once_it_is_half_as_long_again_as_its_rows_and_worth_a_rewrite() -> None:
    ours = made()
    rows, strays, floor = 4 * 25 + 4 * 16, 16, 16 * 1024
    bound = rows + rows // 2 + strays + floor
    assert not sequence_log.is_long(ours, bound)
    assert sequence_log.is_long(ours, bound + 1)
    ours.close(DAY_US)
    assert not sequence_log.is_long(ours, bound), "what waits for the archive counts as well"
    assert sequence_log.is_long(Sequences(1), floor + 1)
    assert not sequence_log.is_long(Sequences(1), floor)
