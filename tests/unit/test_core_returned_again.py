"""What became of events that came back, told again from the log: the same, as far back as the log lets one be sure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from config.settings import Processing, Settings
from processors.admission import AdmissionRecord, Outcome, Returned, encode
from processors.returned_again import ReturnedAgain
from sinks.streams import Message
from tests.unit.admission_logs import CATALOGUE, HOUR_MS, LATENESS_MAX_MS, SKEW_MS, START_MS, Line, Story, event

DAY_MS = 24 * HOUR_MS
ONE, LOW, LAST = 3, 5, 9  # partition, offsets


class Topic:
    """Of one partition, from an offset on."""

    def __init__(self, log: list[Line], low: int = 0) -> None:
        self._log, self._low = log, low
        self.read: list[int] = []

    def bounds(self, partition: int) -> tuple[int, int]:
        assert partition == ONE
        return self._low, 10**9

    def messages(self, partition: int) -> Iterator[Message]:
        assert partition == ONE
        for line in self._log:
            if line.offset >= self._low:
                self.read.append(line.offset)
                yield Message(line.offset, line.timestamp_ms, b"", line.value)


def again(topic: Any, through: int = 10**9) -> ReturnedAgain:
    return ReturnedAgain(Settings(processing=Processing(skew_ms=SKEW_MS)), CATALOGUE, topic, ONE, through)


def told(found: ReturnedAgain, most: int = 4) -> list[Outcome]:
    with mock.patch("processors.returned_again._BATCH", most):
        return [outcome for outcomes in found for outcome in outcomes]


def first_told(story: Story) -> list[Outcome]:
    return [outcome for _, one in sorted(story.state.admissions.pending.items()) for outcome in one.outcomes]


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_log_tells_what_it_told_first(seed: int) -> None:
    story = Story(seed)
    found = again(Topic(story.log))
    assert told(found) == first_told(story) != []
    assert (found.low, found.left_out, found.admitted) == (0, 0, story.state.ledger.admitted)


def test_what_is_closed_or_told_is_forgotten_on_the_way() -> None:
    story = Story(1, messages=90)
    found = again(Topic(story.log))
    held = [len(found._state.admissions.pending) for _ in found]
    state = found._state
    assert held[-1] and not state.admissions.pending
    assert (state.identities.closed, state.sequences.closed) == ({}, {})
    assert story.state.identities.closed and story.state.sequences.closed
    for key, table in state.tables.items():
        closed = table.closed(state.open_since_ms(key), state.offset)
        assert 2 * int(closed.sum()) <= len(closed) < len(story.state.tables[key].column("window"))


def returned(offset: int, at_ms: int) -> Line:
    late = Returned(1, 0, event("a", f"late{offset}", at_ms - 9 * HOUR_MS, 1), False)
    return Line(offset, at_ms, encode(AdmissionRecord(at_ms, LATENESS_MAX_MS, "T", 0, [late])))


def plain(offset: int, at_ms: int) -> Line:
    return Line(offset, at_ms, event("a", f"e{offset}", at_ms, 1))


def test_only_what_is_before_an_offset_is_told_and_nothing_is_read_twice_behind_the_last_that_came_back() -> None:
    log = [
        plain(0, START_MS),
        returned(4, START_MS),
        returned(7, START_MS),
        *(plain(n, START_MS) for n in range(8, 20)),
    ]
    topic = Topic(log)
    assert [one.admission for one in told(again(topic, 7))] == [4]
    assert topic.read == [0, 4, 7, 0, 4, 7]
    topic = Topic(log)
    with mock.patch("processors.returned_again._BATCH", 2):
        found = [[one.admission for one in outcomes] for outcomes in again(topic, 20)]
    assert found == [[4], [7]]
    assert topic.read == [*(line.offset for line in log), 0, 4, 7, 8]
    assert [one.admission for one in told(again(Topic(log), 8))] == [4, 7]


def test_a_log_to_which_nothing_came_back_has_nothing_to_tell() -> None:
    found = again(Topic([plain(0, START_MS), Line(1, START_MS, b"")]))
    assert (told(found), found.admitted, found.left_out) == ([], None, 0)
    nobody = mock.Mock(bounds=lambda partition: (LOW, LOW))
    assert told(again(nobody, LOW)) == []
    nobody.messages.assert_not_called()


@pytest.mark.parametrize("low", [1, LOW])
@pytest.mark.parametrize(
    ("first_ms", "sure"),
    [(-SKEW_MS, [(0, True), (-1, False)]), (1 - SKEW_MS, [(0, False), (DAY_MS - 1, False), (DAY_MS, True)])],
)
def test_of_a_log_that_begins_late_a_verdict_is_told_once_all_that_is_open_began_in_it(
    low: int, first_ms: int, sure: list[tuple[int, bool]]
) -> None:
    """Whole days, as those of numbers are open so long."""
    day_ms = START_MS + DAY_MS
    for after_ms, certain in sure:
        at_ms = day_ms + LATENESS_MAX_MS + after_ms
        log = [plain(0, START_MS), plain(low, day_ms + first_ms), returned(7, at_ms), returned(LAST, at_ms)]
        found = again(Topic(log, low))
        assert [one.admission for one in told(found, 1)] == [7, LAST] * certain
        assert (found.low, found.left_out, found.admitted) == (low, 0 if certain else 2, None)


@pytest.mark.parametrize("seed", range(6))
def test_a_verdict_of_a_log_that_begins_late_is_that_of_the_whole_log(seed: int) -> None:
    story = Story(seed, messages=120)
    before = {(one.admission, one.place): one for one in first_told(story)}
    low = story.log[20].offset
    found = again(Topic(story.log, low))
    now = told(found)
    assert now and all(before[(one.admission, one.place)] == one for one in now)
    assert len(now) + found.left_out == sum(admission >= low for admission, _ in before)
