"""Is this numbered event new? Against Python's own sets, whatever the batches and however few the intervals."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import sequence_log
from processors.sequences import DAY_US, NUMBER_MAX, Numbered, Sequences, identities

SOURCES = np.array([[1, 2], [3, 4], [2**64 - 1, 0]], np.uint64)
Event = tuple[int, int, int]  # source, number, time in microseconds


def numbered(events: list[Event]) -> Numbered:
    source, number, time_us = np.array(events, np.int64).reshape(-1, 3).T
    return Numbered(source, number, time_us, identities(SOURCES[source], number), SOURCES)


class Naive:
    """One event at a time, nothing ever forgotten."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int, int]] = set()
        self.newest: dict[tuple[int, int], int] = {}

    def add(self, source: int, number: int, time_us: int) -> tuple[bool, bool]:
        day = time_us // DAY_US
        time_ms = time_us // 1000
        if (source, day, number) in self.seen:
            return False, time_ms > self.newest[source, day]
        self.seen.add((source, day, number))
        self.newest[source, day] = max(self.newest.get((source, day), -1), time_ms)
        return True, False


def cut(rng: random.Random, events: list[Event]) -> list[list[Event]]:
    """Into batches at random places."""
    batches = []
    while events:
        size = rng.choice((1, 2, 5, 20, 100))
        batches.append(events[:size])
        events = events[size:]
    return batches


def check(ours: Any, theirs: Naive, batches: list[list[Event]]) -> None:
    for batch in batches:
        new, reused = ours.add(numbered(batch))
        expected = [theirs.add(*event) for event in batch]
        assert list(zip(new.tolist(), reused.tolist(), strict=True)) == expected, batch


def traffic(rng: random.Random, events: int) -> list[Event]:
    """Runs, gaps that fill later or never, jumps, repeats, a number with two times, and both ends of the range."""
    sent: list[Event] = []
    heads = [rng.choice((0, 0, 7, NUMBER_MAX - 300)) for _ in SOURCES]
    waiting: list[Event] = []
    time_us = rng.randrange(2 * DAY_US)
    for _ in range(events):
        source, chance = rng.randrange(len(SOURCES)), rng.random()
        time_us = max(time_us + rng.randrange(-10_000_000, 20_000_000), 0)
        if sent and chance < 0.15:
            sent.append(rng.choice(sent))
        elif sent and chance < 0.17:
            sent.append((*rng.choice(sent)[:2], time_us))
        elif waiting and chance < 0.35:
            sent.append(waiting.pop(rng.randrange(len(waiting))))
        else:
            skipped = rng.choice((0, 0, 0, 0, 0, 1, 1, 2, 3, 40))
            for number in range(heads[source], min(heads[source] + skipped, NUMBER_MAX))[:3]:
                waiting.append((source, number, time_us + rng.randrange(1_000_000)))
            heads[source] = min(heads[source] + skipped, NUMBER_MAX)
            sent.append((source, heads[source], time_us))
            heads[source] = min(heads[source] + 1, NUMBER_MAX)
    return sent


@pytest.mark.parametrize("intervals_max", [1, 2, 4])
def test_a_number_is_new_once_whatever_the_order_the_gaps_and_the_batches(intervals_max: int) -> None:
    """I2, I5"""
    strays = 0
    for seed in range(60):
        rng = random.Random(seed)
        events, ours = traffic(rng, 250), Sequences(intervals_max)
        check(ours, Naive(), cut(rng, events))
        strays += sum(day.strays.count for day in ours.days.values())
        for day in ours.days.values():
            assert int(day.count.max()) <= intervals_max
        once = Sequences(4)
        check(once, Naive(), [events])
        for number, day in ours.days.items():
            assert day.digest().tolist() == once.days[number].digest().tolist()
    assert strays > 1_000


def test_intervals_without_holes_and_strays_are_the_same_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the archive of a closed day holds."""
    monkeypatch.setattr("processors.sequences._PIECE", 3)
    for seed in range(30):
        rng = random.Random(seed)
        ours, seen = Sequences(2), set()
        for batch in cut(rng, [(rng.randrange(3), min(number, 200), 0) for _, number, _ in traffic(rng, 200)]):
            ours.add(numbered(batch))
            seen |= {event[:2] for event in batch}
        day = ours.days[0]
        places = {tuple(source): place for place, source in enumerate(SOURCES.tolist())}
        exact = {
            (places[tuple(source)], number)
            for source, first, last in zip(*(column.tolist() for column in day.exact_intervals()), strict=True)
            for number in range(first, last + 1)
        }
        strays = set(map(tuple, day.strays.keys.tolist()))
        for source in range(3):
            digests = identities(np.repeat(SOURCES[[source]], 201, axis=0), np.arange(201))
            members = {(source, number) for number, one in enumerate(digests.tolist()) if tuple(one) in strays}
            assert {one for one in exact | members if one[0] == source} == {one for one in seen if one[0] == source}


NUMBER = st.integers(0, 30) | st.integers(NUMBER_MAX - 3, NUMBER_MAX)
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 2), NUMBER, st.integers(0, 9_000)), max_size=30), max_size=8)


@given(BATCHES, st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_any_numbers_at_any_times_are_as_in_a_set(batches: list[list[Event]], intervals_max: int) -> None:
    check(Sequences(intervals_max), Naive(), batches)


class HighMark(Sequences):
    """The broken variant: below the highest number so far everything counts as seen."""

    def add(self, events: Numbered) -> tuple[Any, Any]:
        new, reused = super().add(events)
        for one in self.days.values():
            one.starts[: one.sources.count, 0] = 0
        return new, reused


def test_i2_catches_a_high_water_mark() -> None:
    with pytest.raises(AssertionError):
        check(HighMark(4), Naive(), [[(0, 5, 0)], [(0, 3, 0)]])


Intervals = list[tuple[int, int]]
Fewer = tuple[Intervals, int, Intervals]


def forgetting(intervals: Intervals, excess: int) -> Fewer:
    """The broken variant: what is one interval too many is forgotten."""
    return intervals[excess:], 0, []


def swallowing(intervals: Intervals, excess: int) -> Fewer:
    """The broken variant: intervals become one, and what is missing between them counts as seen."""
    return [(intervals[0][0], intervals[-1][1])], 0, []


@pytest.mark.parametrize(("broken", "last"), [(forgetting, 1), (swallowing, 2)])
def test_i2_catches_intervals_that_are_lost(broken: Any, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sequences.fewer", broken)
    with pytest.raises(AssertionError):
        check(Sequences(1), Naive(), [[(0, 1, 0)], [(0, 9, 0)], [(0, last, 0)]])


def test_a_counter_that_began_anew_is_told_from_repeats() -> None:
    """A source that starts again with the same name: its numbers are taken, its times are new."""
    ours = Sequences(4)
    ours.add(numbered([(0, n, n * 1000) for n in range(100)]))
    new, reused = ours.add(numbered([(0, n, (100 + n) * 1000) for n in range(100)]))
    assert not new.any()
    assert reused.all()
    new, reused = ours.add(numbered([(0, n, n * 1000) for n in range(100)]))
    assert not new.any()
    assert not reused.any()


def test_a_day_closes_when_it_ends_and_not_before() -> None:
    ours = Sequences(4)
    ours.add(numbered([(0, 1, 0), (0, 2, DAY_US)]))
    ours.close(DAY_US - 1)
    assert list(ours.days) == [0, 1]
    ours.close(DAY_US)
    assert list(ours.days) == [1]


def test_a_gap_that_stays_costs_one_digest_and_does_not_send_what_follows_to_the_strays() -> None:
    ours = Sequences(4)
    for start in range(0, 100_000, 1_000):  # the last number of each thousand never comes
        ours.add(numbered([(0, n, 0) for n in range(start, start + 999)]))
    day = ours.days[0]
    assert len(day) == 4
    assert day.strays.count == 100 - 4


def hostile(rng: random.Random) -> dict[str, list[list[int]]]:
    """Batches of numbers of one source that make as many gaps as can be, and fill them, or not."""
    odd, even = list(range(1, 400, 2)), list(range(0, 400, 2))
    blocks = [list(range(start, start + 20)) for start in range(0, 800, 40)]
    between = [[number + 20 for number in block] for block in blocks]
    return {
        "every other one": [[n] for n in odd],
        "every other one, backwards": [[n] for n in reversed(odd)],
        "every other one, then those between": [[n] for n in odd + even],
        "further apart each time": [[n * n] for n in range(400)],
        "any order": [[n] for n in rng.sample(range(800), 400)],
        "any order, all at once": [rng.sample(range(800), 400)],
        "blocks as long as the gaps, then the gaps": [*blocks, *between],
        "from both ends": [[n] for pair in zip(range(400), range(4_000, 3_600, -1), strict=True) for n in pair],
        "far apart": [[rng.randrange(2**62)] for _ in range(400)],
    }


@pytest.mark.parametrize("intervals_max", [1, 4])
def test_i7_the_worst_that_a_source_can_do_costs_16_bytes_an_event(intervals_max: int) -> None:
    """What is packed for the checkpoint, of one source and day: its intervals, and no more digests than events."""
    for name, batches in hostile(random.Random(3)).items():
        ours, events = Sequences(intervals_max), 0
        for batch in batches:
            new, _ = ours.add(numbered([(0, number, 0) for number in batch]))
            events += int(new.sum())
            assert ours.days[0].strays.count <= events, name
        packed = [field for piece in sequence_log.pieces(ours, 1 << 20) for field in piece if isinstance(field, bytes)]
        total_bytes = 2 * 16  # the sum of all identities, once in each of the two pieces
        assert len(ours.days[0]) <= intervals_max
        assert sum(map(len, packed)) <= total_bytes + 25 + 16 * (intervals_max + events), name


def test_nine_gaps_that_stay_cost_a_source_less_than_200_bytes() -> None:
    """What is left by single events that were late or refused."""
    ours = Sequences(4)
    for gap in range(10):
        ours.add(numbered([(0, n, 0) for n in range(gap * 500, gap * 500 + 499)]))
    assert 25 + 16 * (len(ours.days[0]) + ours.days[0].strays.count) == 185


def test_no_events_are_no_trouble() -> None:
    new, reused = Sequences(4).add(numbered([]))
    assert len(new) == len(reused) == 0
