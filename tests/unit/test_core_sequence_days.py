"""What a day of numbers is made of: identities that must never change, columns, and what was touched."""

from __future__ import annotations

import random

import numpy as np
import pytest

from processors.sequences import DAY_US, NUMBER_MAX, Numbered, SequenceDay, Sequences, identities, splitmix

SOURCES = np.array([[1, 2], [2**64 - 1, 2**63]], np.uint64)
GOLDEN = 0x9E3779B97F4A7C15
WORD = 2**64


def numbered(*events: tuple[int, int, int]) -> Numbered:
    """Of (source, number, time in milliseconds)."""
    source, number, time_ms = np.array(events, np.int64).reshape(-1, 3).T
    return Numbered(source, number, time_ms * 1000, identities(SOURCES[source], number), SOURCES)


def mixed(value: int) -> int:
    """splitmix64 as published: of Sebastiano Vigna, in integers without a bound."""
    value = (value + GOLDEN) % WORD
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % WORD
    return value ^ (value >> 31)


def test_splitmix_is_the_published_one() -> None:
    """Identities outlive a version of this code: in checkpoints and in the archive."""
    states = np.array([0, GOLDEN, 2 * GOLDEN % WORD], np.uint64)
    assert splitmix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_the_identity_of_a_number_is_its_source_turned_by_it() -> None:
    for source in SOURCES.tolist():
        for number in (0, 1, 77, NUMBER_MAX):
            (found,) = identities(np.array([source], np.uint64), np.array([number])).tolist()
            once = mixed(number)
            assert found == [source[0] ^ once, (source[1] + mixed(once)) % WORD]


def test_a_new_day_holds_nothing() -> None:
    day = SequenceDay(4)
    columns = (day.newest, day.count, day.strayed, day.starts, day.ends)
    assert [column.shape for column in columns] == [(0,), (0,), (0,), (0, 1), (0, 1)]
    assert [column.dtype.name for column in columns] == ["int64", "int64", "bool", "int64", "int64"]
    assert (day.total.tolist(), day.total.dtype.name) == ([0, 0], "uint64")
    assert (day.saved_sources, day.saved_strays, len(day), day.touched) == (0, 0, 0, [])
    assert (day.changed().tolist(), day.changed().dtype.name) == ([], "int64")


def test_a_batch_says_what_is_new_and_keeps_sums_and_spans() -> None:
    day = SequenceDay(4)
    first, second = numbered((0, 5, 3), (1, 9, 1), (0, 6, 2)), numbered((0, 5, 3), (0, 8, 9))
    new, reused = day.add(first)
    assert (new.tolist(), reused.tolist()) == ([True, True, True], [False, False, False])
    assert (new.dtype.name, reused.dtype.name, day.starts.shape[1]) == ("bool", "bool", 1)
    new, reused = day.add(second)
    assert (new.tolist(), reused.tolist()) == ([False, True], [False, False])
    assert day.changed().tolist() == [0, 1]
    assert (day.newest[:2].tolist(), day.count[:2].tolist()) == ([9, 1], [2, 1])
    assert (day.starts[0].tolist(), day.ends[0].tolist()) == ([5, 8], [6, 8])
    assert (day.starts[1].tolist(), day.ends[1].tolist()) == ([9, NUMBER_MAX], [9, -1])
    members = [*identities_of(0, 5, 6, 8), *identities_of(1, 9)]
    total = [sum(column) % WORD for column in zip(*members, strict=True)]
    assert (day.total.tolist(), day.total.dtype.name) == (total, "uint64")
    lanes = [[lane ^ mixed(newest) for lane in SOURCES[one].tolist()] for one, newest in ((0, 9), (1, 1))]
    marks = [(total[lane] + sum(mixed(one[lane]) for one in lanes)) % WORD for lane in range(2)]
    assert day.digest().tolist() == marks


def identities_of(source: int, *numbers: int) -> list[list[int]]:
    keys = np.repeat(SOURCES[[source]], len(numbers), axis=0)
    return identities(keys, np.array(numbers)).tolist()  # type: ignore[no-any-return]


def test_a_number_is_reused_where_all_that_its_source_sent_so_far_is_older() -> None:
    """In the middle of a batch, and whatever other sources sent meanwhile."""
    day = SequenceDay(4)
    batch = [(0, 1, 5), (1, 1, 50), (1, 1, 20), (1, 1, 51), (0, 1, 5), (0, 1, 6), (0, 2, 6), (0, 1, 6), (0, 1, 7)]
    _, reused = day.add(numbered(*batch))
    assert np.flatnonzero(reused).tolist() == [3, 5, 8]
    _, reused = day.add(numbered((0, 1, 6), (0, 1, 7), (0, 3, 0), (0, 1, 7), (1, 1, 50), (1, 1, 51)))
    assert np.flatnonzero(reused).tolist() == [1, 3, 5]
    many = [(n % 2, 100 + n, n) for n in range(400)]
    new, reused = SequenceDay(4).add(numbered(*(one for event in many for one in (event, event))))
    assert new.tolist() == [True, False] * 400
    assert not reused.any(), "a repeat right behind is as old as what it repeats"
    new, _ = SequenceDay(4).add(numbered(*((0, n, 0) for n in (5, 7, 6, 7))))
    assert new.tolist() == [True, True, True, False]
    _, reused = SequenceDay(4).add(numbered((0, 7, 0), (0, 7, 0), (0, 7, 1)))
    assert reused.tolist() == [False, False, True]
    _, reused = SequenceDay(4).add(numbered((0, 7, 86_399_998), (0, 7, 86_399_999), (0, 7, 86_399_998)))
    assert reused.tolist() == [False, True, False]


def test_a_day_counts_times_in_whole_milliseconds_from_its_begin() -> None:
    day = SequenceDay(4)
    time_us = np.array([3 * DAY_US + 1_001_999, 3 * DAY_US + 86_399_999_999])
    sources = np.array([0, 1])
    numbers = np.array([1, 1])
    day.add(Numbered(sources, numbers, time_us, identities(SOURCES, numbers), SOURCES))
    assert day.newest[:2].tolist() == [1001, 86_399_999]


def test_a_run_above_all_others_costs_no_line_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    day = SequenceDay(4)
    day.add(numbered(*((source, n, 0) for n in (0, 1, 5, 6) for source in (0, 1))))
    merged = []
    monkeypatch.setattr(SequenceDay, "_merge", lambda self, *runs: merged.append(runs))
    day.add(numbered(*((source, n, 0) for n in (9, 8, 7) for source in (1, 0))))
    assert merged == []
    assert (day.starts[:2].tolist(), day.ends[:2].tolist()) == ([[0, 5]] * 2, [[1, 9]] * 2)


def test_a_gap_that_fills_makes_one_interval_of_two() -> None:
    day = SequenceDay(4)
    day.add(numbered(*((0, n, 0) for n in (0, 1, 5, 6))))
    day.add(numbered(*((0, n, 0) for n in (2, 3, 4))))
    assert (len(day), day.starts[0, 0], day.ends[0, 0], day.ends[0, 1]) == (1, 0, 6, -1)


def test_a_number_that_comes_back_from_a_hole_outside_the_intervals_is_known_from_then_on() -> None:
    for intervals_max in (1, 2):
        rng = random.Random(intervals_max)
        day, seen = SequenceDay(intervals_max), set()
        for _ in range(60):
            batch = [(rng.randrange(2), rng.randrange(30), 0) for _ in range(rng.randrange(1, 4))]
            new, _ = day.add(numbered(*batch))
            for event, told in zip(batch, new.tolist(), strict=True):
                assert told == (event not in seen)
                seen.add(event)
        assert day.strays.count > 5


def test_a_batch_in_any_order_is_what_it_is_one_by_one() -> None:
    rng = random.Random(8)
    events = [(rng.randrange(2), rng.randrange(200), rng.choice((at // 4, rng.randrange(50)))) for at in range(300)]
    at_once, one_by_one = SequenceDay(3), SequenceDay(3)
    new, reused = at_once.add(numbered(*events))
    told = [one_by_one.add(numbered(event)) for event in events]
    assert new.tolist() == [bool(one[0][0]) for one in told]
    assert reused.tolist() == [bool(one[1][0]) for one in told]
    assert at_once.digest().tolist() == one_by_one.digest().tolist()
    assert 10 < int(reused.sum()) < 200
    assert (at_once.newest[:2].tolist(), at_once.total.tolist()) == (
        one_by_one.newest[:2].tolist(),
        one_by_one.total.tolist(),
    )


def test_settling_forgets_what_was_touched_and_knows_what_is_saved() -> None:
    ours = Sequences(4)
    ours.add(numbered((0, 1, 0), (1, 1, 0)))
    day = ours.days[0]
    day.settle()
    assert (day.changed().tolist(), day.saved_sources, day.saved_strays) == ([], 2, 0)
    day.add(numbered((1, 2, 0), (1, 3, 0)))
    day.add(numbered((1, 5, 0)))
    slot = day.changed().tolist()
    assert slot == [day.sources.place(SOURCES[[1]])[0][0]]


def test_open_days_and_closed_ones_are_all_days_and_a_day_begins_when_it_is_asked_for() -> None:
    ours = Sequences(3)
    ours.add(numbered((0, 1, 0), (0, 1, 86_400_000), (0, 2, 86_399_999)))
    ours.close(DAY_US)
    assert (list(ours.closed), list(ours.days), list(ours.all_days())) == ([0], [1], [0, 1])
    assert len(ours.closed[0]) == 1
    assert ours.day(7) is ours.days[7]
    assert ours.day(7).intervals_max == 3
    new, reused = ours.add(numbered())
    assert (new.dtype.name, reused.dtype.name, len(new)) == ("bool", "bool", 0)


def test_columns_grow_by_half_and_rows_stay_where_only_places_are_wanted() -> None:
    day = SequenceDay(4)
    for slots, places, shape in (
        (10, 1, (10, 1)),
        (11, 1, (15, 1)),
        (12, 2, (15, 2)),
        (2, 1, (15, 2)),
        (40, 2, (40, 2)),
    ):
        day.reserve(slots, places)
        assert day.starts.shape == day.ends.shape == shape
        assert {len(column) for column in (day.newest, day.count, day.strayed)} == {shape[0]}
        assert not day.strayed.any()
    assert (set(day.starts.ravel().tolist()), set(day.ends.ravel().tolist())) == ({NUMBER_MAX}, {-1})


def test_intervals_for_the_archive_are_cut_at_holes_and_none_of_them_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals of a source without strays are as they are."""
    monkeypatch.setattr("processors.sequences._PIECE", 3)
    day = SequenceDay(1)
    day.add(numbered(*((0, n, 0) for n in range(1, 20) if n not in (4, 5, 11)), (1, 3, 0)))
    assert day.strays.count == 3
    day.add(numbered((0, 20, 0), (0, 22, 0)))
    sources, first, last = (column.tolist() for column in day.exact_intervals())
    assert list(zip(sources, first, last, strict=True)) == [
        (SOURCES[1].tolist(), 3, 3),
        (SOURCES[0].tolist(), 1, 3),
        (SOURCES[0].tolist(), 6, 10),
        (SOURCES[0].tolist(), 12, 20),
        (SOURCES[0].tolist(), 22, 22),
    ]
    monkeypatch.undo()
    two = SequenceDay(2)
    two.add(numbered(*((0, n, 0) for n in (5, 6, 7, 8, 9, 16, 17, 19, 21, 22))))
    assert [column.tolist() for column in two.exact_intervals()[1:]] == [[5, 16, 19, 21], [9, 17, 19, 22]]
    wide = SequenceDay(2)
    wide.add(numbered((0, 1, 0), (0, 3, 0), (1, 8, 0)))
    assert [column.tolist() for column in wide.exact_intervals()[1:]] == [[1, 3, 8], [1, 3, 8]]
